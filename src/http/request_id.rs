//! Owns `X-Request-Id`: the name of a request, the client's own if it is sane.

use http::{HeaderName, HeaderValue};

use super::Head;
use crate::core::cause::Name;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's name of the request, if it is sane, else a new one.
pub(super) fn of(request: &Head) -> Name {
    let sent = request.headers().get(&REQUEST_ID);
    sent.and_then(|id| Name::parse(id.as_bytes())).unwrap_or_else(Name::draw)
}

/// The header's value.
pub(super) fn header(name: &Name) -> HeaderValue {
    HeaderValue::from_bytes(name.as_bytes()).unwrap_or(HeaderValue::from_static("unknown"))
}
