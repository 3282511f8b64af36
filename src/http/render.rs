//! Owns what an answer looks like on the wire: a snapshot's bytes, and headers from it and its age.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::{Duration, Instant};

use super::error::code_of;
use crate::core::mirror::{Answer, Origin, Reason};
use crate::core::snapshot::{Phase, State};

/// RFC 7240, 3.
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// RFC 9211.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Room for those of most answers, with what later steps add: growing would move them.
const HEADERS: usize = 12;

/// Renders an answer, or 304 where the client has these bytes already.
pub(super) fn answer(answer: &Answer, request: &HeaderMap, now: Instant) -> Response {
    let state = &*answer.state;
    let snapshot = &state.snapshot;
    let unchanged = snapshot.status.is_success() && has_already(request, &snapshot.etag);
    let mut headers = HeaderMap::with_capacity(HEADERS);
    let mut response = if unchanged {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        headers.insert(header::CONTENT_TYPE, snapshot.content_type.clone());
        let mut response = Response::new(Body::from(snapshot.body.clone()));
        *response.status_mut() = snapshot.status;
        response
    };
    headers.insert(header::ETAG, snapshot.etag.clone());
    headers.insert(header::AGE, state.age(now).into());
    headers.insert(CACHE_STATUS, cache_status(answer.origin, state, now));
    headers.insert(header::CACHE_CONTROL, cache_control(snapshot.phase));
    if let Some(seconds) = answer.retry_after.filter(|_| snapshot.status.is_success()) {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    *response.headers_mut() = headers;
    response
}

/// Tells the client that its `Prefer: wait` was honoured (RFC 7240, 3).
pub(super) fn applied(response: &mut Response, wait: Duration) {
    let value = format!("wait={}", wait.as_secs());
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}

/// A terminal state may be kept by the browser, but only be used after asking; anything else not even
/// that.
fn cache_control(phase: Phase) -> HeaderValue {
    HeaderValue::from_static(match phase {
        Phase::Terminal => "private, no-cache",
        Phase::Live | Phase::Missing => "no-store",
    })
}

/// Whether `If-None-Match` names the tag, by weak comparison (RFC 9110, 13.1.2).
pub(super) fn has_already(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

fn cache_status(origin: Origin, state: &State, now: Instant) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    let text = match origin {
        Origin::Hit => ["taskgate; hit; ttl=", digits.format(state.ttl(now))].concat(),
        Origin::Fetched { known_before, status, stored, collapsed } => {
            let why = if known_before { "stale" } else { "miss" };
            let stored = if stored { "; stored" } else { "" };
            let collapsed = if collapsed { "; collapsed" } else { "" };
            ["taskgate; fwd=", why, "; fwd-status=", digits.format(status), stored, collapsed].concat()
        }
        Origin::StandIn { reason, asked: false } => {
            let ttl = digits.format(state.ttl(now));
            ["taskgate; hit; ttl=", ttl, "; detail=", code_of(reason).word()].concat()
        }
        Origin::StandIn { reason, asked: true } => {
            let status = match reason {
                Reason::Upstream(failure) => failure.status(),
                Reason::Budget | Reason::Overloaded | Reason::ShuttingDown => None,
            };
            let status = status.map_or(String::new(), |status| format!("; fwd-status={status}"));
            ["taskgate; fwd=stale", &status, "; detail=", code_of(reason).word()].concat()
        }
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("taskgate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_compares_weakly_and_takes_lists_and_stars() {
        let etag = HeaderValue::from_static("\"abc\"");
        let matches = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (header::IF_NONE_MATCH, HeaderValue::from_static(value)));
            has_already(&headers.collect(), &etag)
        };
        for values in [&["\"abc\""][..], &["W/\"abc\""], &["*"], &["\"x\" , \"abc\""], &["\"x\"", "\"abc\""]]
        {
            assert!(matches(values), "{values:?}");
        }
        for values in [&[][..], &["abc"], &["\"ABC\""], &["\"abcd\""], &["w/\"abc\""], &[""]] {
            assert!(!matches(values), "{values:?}");
        }
    }
}
