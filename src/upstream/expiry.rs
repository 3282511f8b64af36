//! Owns the lifetime of an ended task's results.
//!
//! Result URLs are often signed for a limited time: Amazon (`X-Amz-Date` + `X-Amz-Expires`), Google
//! (`X-Goog-Date` + `X-Goog-Expires`), Azure (`se`), and the older `Expires` in Unix seconds. Some APIs add
//! `expires_at` to the document. The earliest end counts.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::value::RawValue;
use url::Url;

/// The time until the first result expires, zero if one has expired; `None` if none states an end. `stated`
/// is the value of the document's `expires_at`.
pub(super) fn result_lifetime(
    document: &RawValue,
    stated: Option<&RawValue>,
    now: SystemTime,
) -> Option<Duration> {
    let stated = stated.and_then(|value| moment(value.get()));
    let end = links(document.get()).filter_map(|link| link_end(&link)).chain(stated).min()?;
    Some(end.duration_since(now).unwrap_or(Duration::ZERO))
}

/// Every string of the document that begins with `http`. In valid JSON an unescaped quote before `http`
/// begins a string, so the document need not be parsed.
fn links(json: &str) -> impl Iterator<Item = String> {
    let starts = memchr::memmem::find_iter(json.as_bytes(), "\"http");
    starts.filter(|at| !json[..*at].ends_with('\\')).filter_map(|at| {
        let mut strings = serde_json::Deserializer::from_str(&json[at..]).into_iter::<String>();
        strings.next()?.ok()
    })
}

fn link_end(link: &str) -> Option<SystemTime> {
    let link = Url::parse(link).ok()?;
    let value = |name: &str| {
        link.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let signed = |date: &str, span: &str| {
        // The date is in the compact form, `20260714T000000Z`.
        let start = timestamp(&value(date)?)?;
        start.checked_add(Duration::from_secs(value(span)?.parse().ok()?))
    };
    signed("X-Amz-Date", "X-Amz-Expires")
        .or_else(|| signed("X-Goog-Date", "X-Goog-Expires"))
        .or_else(|| timestamp(&value("se")?))
        .or_else(|| epoch(&value("Expires")?))
}

/// A JSON value that states a moment: Unix seconds or milliseconds, or a string with a date (RFC 3339).
fn moment(json: &str) -> Option<SystemTime> {
    match serde_json::from_str::<String>(json) {
        Ok(text) => timestamp(&text),
        Err(_) => epoch(json),
    }
}

fn timestamp(text: &str) -> Option<SystemTime> {
    let seconds = text.parse::<Timestamp>().ok()?.as_second();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

fn epoch(text: &str) -> Option<SystemTime> {
    let seconds: u64 = text.parse().ok()?;
    // As seconds, larger numbers are beyond the year 5138: they are milliseconds.
    let seconds = if seconds < 100_000_000_000 { seconds } else { seconds / 1000 };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::classify::members;

    /// 2026-07-14T00:00:00Z.
    const NOW: u64 = 1_783_987_200;

    fn lifetime(json: &str) -> Option<u64> {
        let document: &RawValue = serde_json::from_str(json).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let [stated] = members(document, ["expires_at"]);
        result_lifetime(document, stated, now).map(|span| span.as_secs())
    }

    fn link(query: &str) -> Option<u64> {
        lifetime(&format!(r#"{{"status":"completed","video_url":"https://cdn.example/v.mp4?{query}"}}"#))
    }

    #[test]
    fn every_form_of_a_signed_link_is_read() {
        assert_eq!(link("X-Amz-Date=20260714T000000Z&X-Amz-Expires=3600&X-Amz-Signature=x"), Some(3600));
        assert_eq!(link("x-goog-date=20260713T235900Z&x-goog-expires=120"), Some(60));
        assert_eq!(link("sv=2024&se=2026-07-14T00%3A10%3A00Z&sig=x"), Some(600));
        assert_eq!(link(&format!("Expires={}&Signature=x", NOW + 5)), Some(5));
        assert_eq!(link(&format!("Expires={}", NOW - 5)), Some(0), "dead already");
    }

    #[test]
    fn links_that_say_nothing_are_no_limit() {
        for query in ["", "a=b", "Expires=soon", "se=x", "X-Amz-Date=20260714T000000Z", "X-Amz-Expires=60"] {
            assert_eq!(link(query), None, "{query}");
        }
        assert_eq!(link("X-Amz-Date=20260714T000000Z&X-Amz-Expires=99999999999999999999"), None);
        assert_eq!(lifetime(r#"{"a":"\"http://x/?Expires=1"}"#), None, "a quote inside a string");
    }

    #[test]
    fn the_earliest_end_counts_wherever_it_stands() {
        let json = format!(
            r#"{{"data":[{{"url":"https:\/\/a.example\/1?Expires={}"}},{{"url":"https://a.example/2?Expires={}"}}],"expires_at":{}}}"#,
            NOW + 30,
            NOW + 20,
            NOW + 25
        );
        assert_eq!(lifetime(&json), Some(20));
    }

    #[test]
    fn expires_at_may_be_seconds_milliseconds_or_a_date() {
        assert_eq!(lifetime(&format!(r#"{{"expires_at":{}}}"#, NOW + 9)), Some(9));
        assert_eq!(lifetime(&format!(r#"{{"expires_at":{}000}}"#, NOW + 9)), Some(9));
        assert_eq!(lifetime(r#"{"expires_at":"2026-07-14T00:00:09Z"}"#), Some(9));
        assert_eq!(lifetime(r#"{"expires_at":null}"#), None);
        assert_eq!(lifetime(r#"{"expires_at":"tomorrow"}"#), None);
    }
}
