//! Owns the reading of the headers that tell what is left of a quota of requests: `RateLimit` and `RateLimit-Policy` (the
//! drafts of draft-ietf-httpapi-ratelimit-headers), and the older `RateLimit-*` and `X-RateLimit-*`.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::retry_after::{decimal, until};
use crate::core::budget::Quota;

/// The beginnings of the names of separate headers: limit, remaining and reset follow.
const PREFIXES: [&str; 3] = ["x-ratelimit-", "x-rate-limit-", "ratelimit-"];
/// Their ends. Some APIs tell quotas of tokens too, under `-tokens`: those are not counted in requests.
const ENDS: [&str; 2] = ["", "-requests"];
/// The most quotas of one answer that are read.
const MOST: usize = 8;

/// The quotas that an answer tells. What is not understood says nothing.
pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> Vec<Quota> {
    // Most APIs tell nothing: this costs them a look at each name.
    if !headers.keys().any(|name| is_of_quota(name.as_str())) {
        return Vec::new();
    }
    let pairs = PREFIXES.iter().flat_map(|prefix| ENDS.map(|end| (prefix, end)));
    let mut found: Vec<Quota> =
        pairs.filter_map(|(prefix, end)| separate(headers, prefix, end, now)).collect();
    let policies: Vec<Item<'_>> = items(headers, "ratelimit-policy").collect();
    found.extend(items(headers, "ratelimit").filter_map(|item| item.quota(&policies, now)));
    found.extend(in_one(headers, now));
    found
}

fn is_of_quota(name: &str) -> bool {
    name.starts_with("ratelimit") || name.starts_with("x-rate")
}

/// A quota in three headers.
fn separate(headers: &HeaderMap, prefix: &str, end: &str, now: SystemTime) -> Option<Quota> {
    let text = |what: &str| headers.get(format!("{prefix}{what}{end}"))?.to_str().ok();
    let remaining = first_number(text("remaining")?)?;
    let resets_in = reset(text("reset")?, now)?;
    quota(text("limit").and_then(first_number), remaining, resets_in)
}

/// `RateLimit: limit=100, remaining=50, reset=30`, an earlier draft.
fn in_one(headers: &HeaderMap, now: SystemTime) -> Option<Quota> {
    let text = headers.get("ratelimit")?.to_str().ok()?;
    let value = |name: &str| {
        text.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).map(str::trim)
    };
    quota(value("limit").and_then(decimal), decimal(value("remaining")?)?, reset(value("reset")?, now)?)
}

fn quota(limit: Option<f64>, remaining: f64, resets_in: Duration) -> Option<Quota> {
    // A quota of nothing is none.
    (limit != Some(0.0)).then_some(Quota { limit, remaining, resets_in })
}

/// One item of a list of RFC 9651: `"name";r=50;t=30`.
struct Item<'t> {
    name: &'t str,
    parameters: Vec<(&'t str, &'t str)>,
}

fn items<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = Item<'h>> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).take(MOST).filter_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next()?.trim_matches('"');
        Some(Item { name, parameters: parts.filter_map(|part| part.split_once('=')).collect() })
    })
}

impl Item<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"'))
    }

    fn quota(&self, policies: &[Item<'_>], now: SystemTime) -> Option<Quota> {
        let policy = policies.iter().find(|policy| policy.name == self.name);
        let unit = policy.and_then(|policy| policy.parameter("qu")).unwrap_or("requests");
        if unit != "requests" || self.name.to_ascii_lowercase().contains("token") {
            return None;
        }
        let limit = policy.and_then(|policy| policy.parameter("q")).and_then(decimal);
        quota(limit, decimal(self.parameter("r")?)?, reset(self.parameter("t")?, now)?)
    }
}

/// The number at the beginning: `100, 100;w=60` is 100.
fn first_number(text: &str) -> Option<f64> {
    decimal(text.split([',', ';']).next()?.trim())
}

/// The time to a reset: seconds to go, Unix time, or a duration such as `6m0s`.
fn reset(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    match decimal(text) {
        Some(moment) => until(moment, now),
        None => humantime::parse_duration(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_784_000_000;

    fn read(headers: &[(&'static str, &str)]) -> Vec<(Option<f64>, f64, f64)> {
        let headers =
            headers.iter().map(|(name, text)| (name.parse().unwrap(), text.parse().unwrap())).collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        of(&headers, now)
            .into_iter()
            .map(|quota| (quota.limit, quota.remaining, quota.resets_in.as_secs_f64()))
            .collect()
    }

    #[test]
    fn every_form_is_read() {
        let epoch = (NOW + 20).to_string();
        let whole = (Some(100.0), 50.0, 30.0);
        for (headers, expected) in [
            (
                vec![
                    ("x-ratelimit-limit", "100"),
                    ("x-ratelimit-remaining", "50"),
                    ("x-ratelimit-reset", "30"),
                ],
                whole,
            ),
            (
                vec![
                    ("x-ratelimit-limit", "100, 100;w=60"),
                    ("x-ratelimit-remaining", "50"),
                    ("x-ratelimit-reset", &epoch),
                ],
                (Some(100.0), 50.0, 20.0),
            ),
            (vec![("ratelimit-remaining", "50"), ("ratelimit-reset", "30")], (None, 50.0, 30.0)),
            (
                vec![
                    ("x-ratelimit-limit-requests", "100"),
                    ("x-ratelimit-remaining-requests", "50"),
                    ("x-ratelimit-reset-requests", "120ms"),
                    ("x-ratelimit-limit-tokens", "100000"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "30s"),
                ],
                (Some(100.0), 50.0, 0.12),
            ),
            (
                vec![
                    ("ratelimit", r#""default";r=50;t=30"#),
                    ("ratelimit-policy", r#""default";q=100;w=60"#),
                ],
                whole,
            ),
            (vec![("ratelimit", "limit=100, remaining=50, reset=30")], whole),
        ] {
            assert_eq!(read(&headers), [expected], "{headers:?}");
        }
    }

    #[test]
    fn several_quotas_are_read_and_what_counts_no_requests_is_not() {
        let policy = r#""burst";q=10;w=1, "day";q=5000;w=86400, "b";q=7;qu="content-bytes""#;
        let headers = [
            ("ratelimit", r#""burst";r=3;t=1, "day";r=80;t=40000, "b";r=0;t=9, "tokens";r=0;t=9"#),
            ("ratelimit-policy", policy),
        ];
        assert_eq!(read(&headers), [(Some(10.0), 3.0, 1.0), (Some(5000.0), 80.0, 40000.0)]);
    }

    #[test]
    fn nonsense_says_nothing() {
        for headers in [
            &[("x-ratelimit-remaining", "-1"), ("x-ratelimit-reset", "0")][..],
            &[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "soon")],
            &[("x-ratelimit-remaining", "5")],
            &[("x-ratelimit-limit", "0"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")],
            &[("x-ratelimit-remaining", "NaN"), ("x-ratelimit-reset", "30")],
            &[("ratelimit", ";;,=,\"\";r;t=1")],
            &[("ratelimit", "")],
        ] {
            assert_eq!(read(headers), [], "{headers:?}");
        }
    }
}
