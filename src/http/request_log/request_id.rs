//! Owns `X-Request-Id`: the client's own id of a request where that is valid, else a random one.

use http::HeaderValue;

use crate::core::request_id::RequestId;
use crate::http::head::Head;
use crate::http::headers::X_REQUEST_ID;

/// The id of a request.
pub(in crate::http) fn of(request: &Head) -> RequestId {
    let sent = request.headers().get(&X_REQUEST_ID);
    sent.and_then(|id| RequestId::parse(id.as_bytes())).unwrap_or_else(RequestId::random)
}

/// The header's value.
pub(super) fn header(id: &RequestId) -> HeaderValue {
    HeaderValue::from_bytes(id.as_bytes()).unwrap_or(HeaderValue::from_static("unknown"))
}
