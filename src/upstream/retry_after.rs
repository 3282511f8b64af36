//! Owns the reading of `Retry-After` (RFC 9110, 10.2.3), as seconds or as a date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// The wait that the upstream asks for. `None` without a usable one: for zero, a past date and garbage the
/// caller chooses the wait.
pub(super) fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // A number beyond `u64` means a very long wait, and `u32::MAX` seconds are one.
        Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX)))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?
    };
    (wait > Duration::ZERO).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_784_000_000);
        let date =
            |seconds: u64| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let seconds = |n| Some(Duration::from_secs(n));
        let cases = [
            ("7".to_owned(), seconds(7)),
            (" 7 ".to_owned(), seconds(7)),
            ("1000000000".to_owned(), seconds(1_000_000_000)),
            ("9".repeat(40), seconds(u64::from(u32::MAX))),
            (date(1_784_000_030), seconds(30)),
            (date(1_783_999_000), None),
            ("0".to_owned(), None),
            ("-5".to_owned(), None),
            ("1.5".to_owned(), None),
            ("soon".to_owned(), None),
            (String::new(), None),
        ];
        for (text, expected) in cases {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(parse(&headers, now), expected, "{text:?}");
        }
        assert_eq!(parse(&HeaderMap::new(), now), None);
    }
}
