//! Owns the answers to a request for a stream, and notes each. From here on it is 200, or 204 for a client that has seen
//! the end: `EventSource` gives up for ever on anything else.

use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue};

use crate::http::headers::LAST_EVENT_ID;
use crate::http::request_log::{self, Ending};
use crate::http::respond::sse;

/// The id of the last event that a client says it has seen.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(LAST_EVENT_ID).cloned()
}

/// The stream itself.
pub(super) fn open(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    request_log::outcome(Ending::Opened);
    sse::response(events)
}

/// The client has to come back later.
pub(super) fn come_back() -> Response {
    request_log::outcome(Ending::TurnedBack);
    sse::come_back()
}

/// The client has seen the end already.
pub(super) fn over() -> Response {
    request_log::outcome(Ending::Over);
    sse::over()
}
