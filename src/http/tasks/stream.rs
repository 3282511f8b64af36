//! Owns the responses to a request for a stream, and records their outcome. The status is 200, or 204 for a
//! client that has seen the end: `EventSource` never reconnects after any other status.

use axum::response::Response;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderValue;
use url::form_urlencoded;

use crate::http::head::Head;
use crate::http::headers::LAST_EVENT_ID;
use crate::http::request_log::{self, Ending};
use crate::http::respond::sse::{self, Event};

/// The parameters that count as `Last-Event-ID`: replacements of `EventSource` send one of them.
const PARAMETERS: [&str; 2] = ["lastEventId", "Last-Event-ID"];

/// The id of the last event that a client says it has seen.
pub(super) fn last_event_id(request: &Head) -> Option<HeaderValue> {
    let query = request.uri().query().unwrap_or_default();
    let by_parameter = || {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(name, _)| PARAMETERS.contains(&&**name))?;
        HeaderValue::from_str(&value).ok()
    };
    request.headers().get(LAST_EVENT_ID).cloned().or_else(by_parameter)
}

/// Opens the stream. It begins with a comment at once: some browsers and proxies show nothing before the first byte.
pub(super) fn open(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    request_log::outcome(Ending::Opened);
    sse::response(stream::iter([sse::heartbeat()]).chain(events.flat_map(stream::iter)))
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
