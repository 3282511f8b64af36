//! Owns the wire form of a task's answer: the snapshot's bytes, and header fields from the snapshot and its
//! age.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::{Duration, Instant};

use super::estimate;
use super::if_none_match::IfNoneMatch;
use super::response_body::{ResponseBody, carried, whole};
use crate::core::answer::{Answer, Origin, Reason};
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::http::head::Head;
use crate::http::headers::{CACHE_STATUS, PREFERENCE_APPLIED, TASKGATE_ESTIMATE};
use crate::http::request_log::Code;

/// The capacity for the fields of most answers, later steps' fields included: to grow would move all of them.
const HEADERS: usize = 12;
/// A larger capacity is freed, because a connection keeps its header map for as long as it lives.
const MOST_HEADERS: usize = 24;

/// Empties a request's header map for use by its answer, unless its capacity is too large. hyper reuses the
/// answer's map for the next request of the connection.
pub(in crate::http) fn room(request: Head) -> HeaderMap {
    let mut headers = request.into_parts().0.headers;
    if headers.capacity() > MOST_HEADERS {
        return HeaderMap::new();
    }
    headers.clear();
    headers
}

/// Renders an answer, or 304 where the client has these bytes already. `headers` is empty: [`room`], or a new
/// map.
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
    if let Some(seconds) = answer.retry_after.filter(|_| snapshot.phase == Phase::Live) {
        headers.insert(header::RETRY_AFTER, seconds.into());
        if let Some(value) = state.estimate().and_then(|known| known.told(now)).and_then(estimate::header) {
            headers.insert(TASKGATE_ESTIMATE, value);
        }
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

/// A browser may store a terminal state, but has to revalidate it before each use. It may not store other
/// states.
fn cache_control(phase: Phase) -> HeaderValue {
    HeaderValue::from_static(match phase {
        Phase::Terminal => "private, no-cache",
        Phase::Live | Phase::Missing | Phase::Refused => "no-store",
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

/// `Age`. Waiters get a state at the age of 0, which needs no formatting.
fn age(seconds: u64) -> HeaderValue {
    if seconds == 0 { HeaderValue::from_static("0") } else { seconds.into() }
}

fn cache_status(origin: Origin, state: &State, now: Instant) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    let text = match origin {
        Origin::Hit => ["taskgate; hit; ttl=", digits.format(state.ttl(now))].concat(),
        // The two cases of coalesced waiters, of which there may be thousands, need no formatting.
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
    fn the_constants_equal_the_formatted_values() {
        assert_eq!(fetched(false, 200, true, true), COLLAPSED_MISS);
        assert_eq!(fetched(true, 200, true, true), COLLAPSED_STALE);
    }

    #[test]
    fn of_a_requests_headers_only_the_capacity_is_used() {
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
