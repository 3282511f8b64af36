//! Owns what an answer looks like on the wire: a snapshot's bytes, and headers from it and its age.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::{Duration, Instant};

use super::if_none_match::IfNoneMatch;
use super::response_body::{ResponseBody, carried, whole};
use crate::core::answer::{Answer, Origin, Reason};
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::http::head::Head;
use crate::http::headers::{CACHE_STATUS, PREFERENCE_APPLIED};
use crate::http::request_log::Code;

/// Room for those of most answers, with what later steps add: growing would move them.
const HEADERS: usize = 12;
/// More room than this is given back: a connection keeps it for as long as it lives.
const MOST_HEADERS: usize = 24;

/// The room of a request's headers for those of its answer, where it is not too large: hyper uses it for the next
/// request, and so on.
pub(in crate::http) fn room(request: Head) -> HeaderMap {
    let mut headers = request.into_parts().0.headers;
    if headers.capacity() > MOST_HEADERS {
        return HeaderMap::new();
    }
    headers.clear();
    headers
}

/// Renders an answer, or 304 where the client has these bytes already; `headers` is [`room`], or none.
pub(in crate::http) fn answer(
    answer: &Answer,
    unless: &IfNoneMatch,
    mut headers: HeaderMap,
    now: Instant,
) -> Response<ResponseBody> {
    headers.reserve(HEADERS);
    carried(&mut headers);
    let state = &*answer.state;
    let snapshot = &state.snapshot;
    let unchanged = snapshot.status.is_success() && unless.names(&snapshot.etag);
    let (status, body) = if unchanged {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        headers.insert(header::CONTENT_TYPE, snapshot.content_type.clone());
        (snapshot.status, snapshot.body.clone())
    };
    headers.insert(header::ETAG, snapshot.etag.clone());
    headers.insert(header::AGE, age(state.age(now)));
    headers.insert(CACHE_STATUS, cache_status(answer.origin, state, now));
    headers.insert(header::CACHE_CONTROL, cache_control(snapshot.phase));
    if let Some(seconds) = answer.retry_after.filter(|_| snapshot.status.is_success()) {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Tells the client that its `Prefer: wait` was honoured (RFC 7240, 3).
pub(in crate::http) fn applied<B>(response: &mut Response<B>, wait: Duration) {
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

const COLLAPSED_MISS: &str = "taskgate; fwd=miss; fwd-status=200; stored; collapsed";
const COLLAPSED_STALE: &str = "taskgate; fwd=stale; fwd-status=200; stored; collapsed";

fn fetched(known_before: bool, status: u16, stored: bool, collapsed: bool) -> String {
    let why = if known_before { "stale" } else { "miss" };
    let stored = if stored { "; stored" } else { "" };
    let collapsed = if collapsed { "; collapsed" } else { "" };
    ["taskgate; fwd=", why, "; fwd-status=", itoa::Buffer::new().format(status), stored, collapsed].concat()
}

/// Whoever has waited for a state gets it fresh: that needs no rendering.
fn age(seconds: u64) -> HeaderValue {
    if seconds == 0 { HeaderValue::from_static("0") } else { seconds.into() }
}

fn cache_status(origin: Origin, state: &State, now: Instant) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    let text = match origin {
        Origin::Hit => ["taskgate; hit; ttl=", digits.format(state.ttl(now))].concat(),
        // What many wait for together needs no rendering.
        Origin::Fetched { known_before: false, status: 200, stored: true, collapsed: true } => {
            return HeaderValue::from_static(COLLAPSED_MISS);
        }
        Origin::Fetched { known_before: true, status: 200, stored: true, collapsed: true } => {
            return HeaderValue::from_static(COLLAPSED_STALE);
        }
        Origin::Fetched { known_before, status, stored, collapsed } => {
            fetched(known_before, status, stored, collapsed)
        }
        Origin::StandIn { reason, asked: false } => {
            let ttl = digits.format(state.ttl(now));
            ["taskgate; hit; ttl=", ttl, "; detail=", Code::from(reason).word()].concat()
        }
        Origin::StandIn { reason, asked: true } => {
            let status = match reason {
                Reason::Upstream(failure) => failure.status(),
                Reason::Budget | Reason::Overloaded | Reason::ShuttingDown => None,
            };
            let status = status.map_or(String::new(), |status| format!("; fwd-status={status}"));
            ["taskgate; fwd=stale", &status, "; detail=", Code::from(reason).word()].concat()
        }
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("taskgate"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn what_is_not_rendered_reads_as_if_it_were() {
        assert_eq!(fetched(false, 200, true, true), COLLAPSED_MISS);
        assert_eq!(fetched(true, 200, true, true), COLLAPSED_STALE);
    }

    #[test]
    fn of_the_request_only_the_room_is_used() {
        for count in [0, 5, 20, 90] {
            let mut request = http::Request::new(());
            for number in 0..count {
                let name = HeaderName::try_from(format!("x-{number}")).unwrap();
                request.headers_mut().append(&name, HeaderValue::from_static("one"));
                request.headers_mut().append(name, HeaderValue::from_static("two"));
            }
            let room = room(request);
            assert!(room.is_empty());
            assert!(room.capacity() <= MOST_HEADERS, "{}", room.capacity());
        }
    }
}
