//! Owns the responses to a request for a stream, and records their outcome. The status is 200, or 204 for a
//! client that has seen the end: `EventSource` never reconnects after any other status.

use axum::response::Response;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue};

use crate::http::headers::LAST_EVENT_ID;
use crate::http::request_log::{self, Ending};
use crate::http::respond::sse::{self, Event};

/// The id of the last event that a client says it has seen.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(LAST_EVENT_ID).cloned()
}

/// Opens the stream.
pub(super) fn open(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    request_log::outcome(Ending::Opened);
    sse::response(events.flat_map(stream::iter))
}

/// Asks the client to reconnect later.
pub(super) fn come_back() -> Response {
    request_log::outcome(Ending::TurnedBack);
    sse::come_back()
}

/// Tells a client that has seen the end not to reconnect.
pub(super) fn over() -> Response {
    request_log::outcome(Ending::Over);
    sse::over()
}
