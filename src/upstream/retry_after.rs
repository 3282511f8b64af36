//! Owns the reading of the wait that an answer asks for: `Retry-After` (RFC 9110, 10.2.3) as seconds or as a date, and
//! what APIs send in its place.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use serde_json::Value;

/// Larger numbers in `X-RateLimit-Reset` are Unix seconds, smaller ones the seconds to go.
const EPOCH: f64 = 1e9;
/// Larger numbers are Unix milliseconds.
const MILLISECONDS: f64 = 1e11;

/// The wait that the headers of a refusal ask for: `Retry-After`, else `retry-after-ms`, else `X-RateLimit-Reset`.
/// `None` without a usable one: for zero, a past date and garbage the caller chooses the wait.
pub(super) fn of_refusal(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    plain(headers, now)
        .or_else(|| whole_seconds(number(headers, "retry-after-ms")? / 1000.0))
        .or_else(|| until(number(headers, "x-ratelimit-reset")?, now))
}

/// The wait in `Retry-After`: whole seconds, decimals rounded up, or a date.
pub(super) fn plain(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(seconds) = decimal(text) {
        return whole_seconds(seconds);
    }
    let wait = httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?;
    (!wait.is_zero()).then_some(wait)
}

/// The wait in the body of a refusal: `retry_after`, in seconds, beside or within its `error`.
pub(super) fn in_body(body: &[u8]) -> Option<Duration> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let places = ["/retry_after", "/error/retry_after"];
    let number = places.into_iter().find_map(|place| document.pointer(place)?.as_f64())?;
    whole_seconds(number)
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    decimal(headers.get(name)?.to_str().ok()?.trim())
}

/// A number of digits with at most one point.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let number =
        text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| text.parse().ok())??;
    f64::is_finite(number).then_some(number)
}

/// The time to a moment: seconds to go, Unix seconds or Unix milliseconds.
pub(super) fn until(moment: f64, now: SystemTime) -> Option<Duration> {
    if moment < EPOCH {
        return whole_seconds(moment);
    }
    let seconds = if moment < MILLISECONDS { moment } else { moment / 1000.0 };
    let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
    whole_seconds(moment.duration_since(now).ok()?.as_secs_f64())
}

/// A positive number of seconds, rounded up. What is longer than a century is one.
fn whole_seconds(seconds: f64) -> Option<Duration> {
    let seconds = seconds.ceil().min(f64::from(u32::MAX));
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_784_000_000;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn of(headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers =
            headers.iter().map(|(name, text)| (name.parse().unwrap(), text.parse().unwrap())).collect();
        of_refusal(&headers, now()).map(|wait| wait.as_secs())
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        let date =
            |seconds: u64| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (text, expected) in [
            ("7".to_owned(), Some(7)),
            (" 7 ".to_owned(), Some(7)),
            ("1.5".to_owned(), Some(2)),
            ("0.2".to_owned(), Some(1)),
            ("1000000000".to_owned(), Some(1_000_000_000)),
            ("9".repeat(40), Some(u64::from(u32::MAX))),
            ("9".repeat(400), None),
            (date(NOW + 30), Some(30)),
            (date(NOW - 1000), None),
            ("0".to_owned(), None),
            ("-5".to_owned(), None),
            ("NaN".to_owned(), None),
            ("inf".to_owned(), None),
            ("1e3".to_owned(), None),
            ("1.2.3".to_owned(), None),
            ("soon".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(of(&[("retry-after", &text)]), expected, "{text:?}");
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn other_headers_count_where_it_says_nothing() {
        assert_eq!(of(&[("retry-after-ms", "1200")]), Some(2));
        assert_eq!(of(&[("x-ratelimit-reset", "12")]), Some(12));
        assert_eq!(of(&[("x-ratelimit-reset", &(NOW + 20).to_string())]), Some(20));
        assert_eq!(of(&[("x-ratelimit-reset", &format!("{}500", NOW + 20))]), Some(21));
        assert_eq!(of(&[("x-ratelimit-reset", &(NOW - 20).to_string())]), None);
        assert_eq!(of(&[("x-ratelimit-reset", "6m0s")]), None);
        assert_eq!(of(&[("retry-after", "3"), ("retry-after-ms", "9000")]), Some(3));
        assert_eq!(of(&[("retry-after", "soon"), ("retry-after-ms", "9000")]), Some(9));
    }

    #[test]
    fn a_body_may_name_it() {
        let of = |body: &str| in_body(body.as_bytes()).map(|wait| wait.as_secs());
        assert_eq!(of(r#"{"error":{"code":"rate_limit","retry_after":7}}"#), Some(7));
        assert_eq!(of(r#"{"retry_after":0.5}"#), Some(1));
        for body in ["", "no", "{}", r#"{"retry_after":"7"}"#, r#"{"retry_after":-1}"#, "[7]"] {
            assert_eq!(of(body), None, "{body}");
        }
    }
}
