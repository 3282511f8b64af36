//! Owns the lifetime of an ended task's results: the earliest end that a link or a member states.
//!
//! Links are often signed for a limited time; [`link_end`] lists the dialects. Some APIs state the end in a member
//! ([`STATED`]). A link that was dead on arrival is no result of this task, most often its input: it does not count,
//! and neither does anything that the answer repeats from the request ([`ECHOES`]).

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::json::{all_members, items};

/// Members under which APIs repeat the request.
const ECHOES: [&str; 7] = ["input", "inputs", "request", "params", "parameters", "payload", "metadata"];
/// Members that state when the results end.
const STATED: [&str; 2] = ["expires_at", "url_expires_at"];
/// The depth to which an answer is searched. Each level is read once more.
const MAX_DEPTH: usize = 16;

/// The time until the first result ends; `None` if none states an end that is to come.
pub(super) fn result_lifetime(document: &RawValue, now: SystemTime) -> Option<Duration> {
    let mut ends = Ends { now, first: None };
    ends.search(document, 0);
    ends.first
}

/// The ends of results, as they are found.
struct Ends {
    now: SystemTime,
    first: Option<Duration>,
}

impl Ends {
    fn search(&mut self, place: &RawValue, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let text = place.get();
        if text.starts_with("\"http") {
            self.note(serde_json::from_str::<String>(text).ok().and_then(|link| link_end(&link)));
        } else if text.starts_with('[') {
            for item in items(place) {
                self.search(item, depth + 1);
            }
        } else if text.starts_with('{') {
            for (name, value) in all_members(place) {
                let is_one_of =
                    |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
                if is_one_of(&STATED) {
                    self.note(moment(value.get()));
                } else if !is_one_of(&ECHOES) {
                    self.search(value, depth + 1);
                }
            }
        }
    }

    fn note(&mut self, end: Option<SystemTime>) {
        let left = end.and_then(|end| end.duration_since(self.now).ok()).filter(|left| !left.is_zero());
        self.first = self.first.into_iter().chain(left).min();
    }
}

/// The end of a signed link: Amazon (`X-Amz-Date` + `X-Amz-Expires`), Google, Alibaba and Volcengine alike, Azure
/// (`se`), Tencent (`q-sign-time`), `CloudFront` (`Policy`), a token (`_jwt`), or the older `Expires` in Unix seconds.
fn link_end(link: &str) -> Option<SystemTime> {
    let (_, query) = link.split('#').next()?.split_once('?')?;
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let signed = |vendor: &str| {
        // The date is in the compact form, `20260714T000000Z`.
        let start = date(&value(&format!("X-{vendor}-Date"))?)?;
        let span = value(&format!("X-{vendor}-Expires"))?.parse().ok()?;
        start.checked_add(Duration::from_secs(span))
    };
    ["Amz", "Goog", "Oss", "Tos"]
        .into_iter()
        .find_map(signed)
        .or_else(|| date(&value("se")?))
        .or_else(|| epoch(value("q-sign-time")?.split(';').nth(1)?))
        .or_else(|| policy_end(&value("Policy")?))
        .or_else(|| token_end(&value("_jwt")?))
        .or_else(|| epoch(&value("Expires")?))
}

/// The end in a `CloudFront` policy, which is JSON in a base64 of its own (`-_~` for `+=/`).
fn policy_end(policy: &str) -> Option<SystemTime> {
    let base64 = policy.replace('-', "+").replace('_', "=").replace('~', "/");
    let policy: Value = serde_json::from_slice(&BASE64_STANDARD.decode(base64).ok()?).ok()?;
    let end = policy.pointer("/Statement/0/Condition/DateLessThan/AWS:EpochTime")?;
    epoch(&end.to_string())
}

/// The `exp` of a JSON Web Token (RFC 7519, 4.1.4).
fn token_end(token: &str) -> Option<SystemTime> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    epoch(&claims.get("exp")?.to_string())
}

/// A JSON value that states a moment: Unix seconds or milliseconds, as a number or as text, or a date.
fn moment(json: &str) -> Option<SystemTime> {
    match serde_json::from_str::<String>(json) {
        Ok(text) => date(&text).or_else(|| epoch(&text)),
        Err(_) => epoch(json),
    }
}

/// A date with or without a time (RFC 3339, ISO 8601). Without a time zone it is in UTC.
fn date(text: &str) -> Option<SystemTime> {
    let moment = match text.parse::<Timestamp>() {
        Ok(moment) => moment,
        Err(_) => TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?,
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(moment.as_second()).ok()?))
}

fn epoch(text: &str) -> Option<SystemTime> {
    let number: f64 = text.trim().parse().ok()?;
    // As seconds, larger numbers are beyond the year 5138: they are milliseconds.
    let seconds = if number < 1e11 { number } else { number / 1000.0 };
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-07-14T00:00:00Z.
    const NOW: u64 = 1_783_987_200;

    fn lifetime(json: &str) -> Option<u64> {
        let document: &RawValue = serde_json::from_str(json).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        result_lifetime(document, now).map(|span| span.as_secs())
    }

    fn link(query: &str) -> Option<u64> {
        lifetime(&format!(r#"{{"status":"completed","video_url":"https://cdn.example/v.mp4?{query}"}}"#))
    }

    #[test]
    fn every_dialect_of_signed_links_is_read() {
        assert_eq!(link("X-Amz-Date=20260714T000000Z&X-Amz-Expires=3600&X-Amz-Signature=x"), Some(3600));
        assert_eq!(link("x-goog-date=20260713T235900Z&x-goog-expires=120"), Some(60));
        assert_eq!(link("x-oss-date=20260714T000000Z&x-oss-expires=300&x-oss-signature=x"), Some(300));
        assert_eq!(link("X-Tos-Date=20260714T000000Z&X-Tos-Expires=86400"), Some(86_400));
        assert_eq!(link("sv=2024&se=2026-07-14T00%3A10%3A00Z&sig=x"), Some(600));
        assert_eq!(link("sv=2024&se=2026-07-15&sig=x"), Some(86_400), "a date is its first moment");
        assert_eq!(link(&format!("q-sign-time={};{}&q-signature=x", NOW - 5, NOW + 5)), Some(5));
        assert_eq!(link(&format!("Expires={}&Signature=x", NOW + 5)), Some(5));
        let policy = format!(
            r#"{{"Statement":[{{"Resource":"*","Condition":{{"DateLessThan":{{"AWS:EpochTime":{}}}}}}}]}}"#,
            NOW + 40
        );
        let policy = BASE64_STANDARD.encode(policy).replace('+', "-").replace('=', "_").replace('/', "~");
        assert_eq!(link(&format!("Policy={policy}&Signature=x")), Some(40));
        let claims = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, NOW + 50));
        assert_eq!(link(&format!("_jwt=e30.{claims}.c2ln")), Some(50));
    }

    #[test]
    fn links_that_say_nothing_are_no_limit() {
        for query in [
            "",
            "a=b",
            "Expires=soon",
            "Expires=NaN",
            "Expires=-1",
            "se=x",
            "X-Amz-Date=20260714T000000Z",
            "X-Amz-Expires=60",
            "q-sign-time=1",
            "Policy=!",
            "Policy=e30_",
            "_jwt=a.b.c",
            "_jwt=e30.e30.c",
        ] {
            assert_eq!(link(query), None, "{query}");
        }
        assert_eq!(link("X-Amz-Date=20260714T000000Z&X-Amz-Expires=99999999999999999999"), None);
        assert_eq!(lifetime(r#"{"a":"\"http://x/?Expires=1"}"#), None, "a quote inside a string");
    }

    #[test]
    fn the_earliest_end_counts_wherever_it_stands() {
        let json = format!(
            r#"{{"data":[{{"url":"https:\/\/a.example\/1?Expires={}"}},{{"url":"https://a.example/2?Expires={}"}}],"n":"\ud83d","expires_at":{}}}"#,
            NOW + 30,
            NOW + 20,
            NOW + 25
        );
        assert_eq!(lifetime(&json), Some(20));
    }

    #[test]
    fn a_dead_link_or_an_echo_of_the_request_is_no_result() {
        let dead = NOW - 100;
        let alive = NOW + 100;
        for (json, left) in [
            (format!(r#"{{"input":{{"image":"https://a/?Expires={dead}"}},"output":["https://b/"]}}"#), None),
            (
                format!(
                    r#"{{"input":{{"image":"https://a/?Expires={}"}},"output":["https://b/?Expires={alive}"]}}"#,
                    NOW + 3
                ),
                Some(100),
            ),
            (
                format!(
                    r#"{{"image_url":"https://a/?Expires={dead}","video_url":"https://b/?Expires={alive}"}}"#
                ),
                Some(100),
            ),
            (format!(r#"{{"expires_at":{dead}}}"#), None),
            (
                format!(
                    r#"{{"data":{{"Parameters":{{"ref":[{{"url":"https://a/?Expires={}"}}]}}}}}}"#,
                    NOW + 3
                ),
                None,
            ),
        ] {
            assert_eq!(lifetime(&json), left, "{json}");
        }
    }

    #[test]
    fn a_stated_end_may_have_any_usual_form() {
        let end = NOW + 9;
        for json in [
            format!(r#"{{"expires_at":{end}}}"#),
            format!(r#"{{"expires_at":{end}000}}"#),
            format!(r#"{{"expires_at":{end}.25}}"#),
            format!(r#"{{"expires_at":"{end}"}}"#),
            r#"{"expires_at":"2026-07-14T00:00:09Z"}"#.to_owned(),
            r#"{"expires_at":"2026-07-14T02:00:09+02:00"}"#.to_owned(),
            r#"{"expires_at":"2026-07-14T00:00:09"}"#.to_owned(),
            r#"{"expires_at":"2026-07-14 00:00:09.5"}"#.to_owned(),
            format!(r#"{{"data":{{"videos":[{{"url_expires_at":{end}}}]}}}}"#),
        ] {
            assert_eq!(lifetime(&json), Some(9), "{json}");
        }
        assert_eq!(lifetime(r#"{"expires_at":null}"#), None);
        assert_eq!(lifetime(r#"{"expires_at":"tomorrow"}"#), None);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| {
            let link = format!(r#""https://a/?Expires={}""#, NOW + 7);
            lifetime(&format!("{}{link}{}", "[".repeat(levels), "]".repeat(levels)))
        };
        assert_eq!((deep(10), deep(100_000)), (Some(7), None));
    }
}
