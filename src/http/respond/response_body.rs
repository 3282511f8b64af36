//! Owns the common part of the main listener's answers: the body, which is a task's bytes as the store holds
//! them or any other body, and the header fields that every answer has.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{Either, Full};

use super::security_headers;
use crate::http::headers::X_REQUEST_ID;
use crate::http::request_log;

/// The header fields, apart from credentials, on which an answer depends (`Vary`: RFC 9110, 12.5.5).
const VARY: HeaderValue = HeaderValue::from_static("accept, prefer, origin");

/// The body of an answer. In a box, as axum's bodies are, a task's bytes would cost each hit an allocation.
pub type ResponseBody = Either<Full<Bytes>, Body>;

/// A body of these bytes.
pub(in crate::http) fn whole(bytes: Bytes) -> ResponseBody {
    Either::Left(Full::new(bytes))
}

/// Any other answer, with the header fields that every answer has.
pub(in crate::http) fn other(answer: impl IntoResponse) -> Response<ResponseBody> {
    let mut answer = answer.into_response();
    carried(answer.headers_mut());
    answer.map(Either::Right)
}

/// Adds the header fields of every answer of the main listener; they do not depend on the answer.
pub(in crate::http) fn carried(headers: &mut HeaderMap) {
    security_headers::add_to(headers);
    headers.insert(header::VARY, VARY);
    if let Some(id) = request_log::id_header() {
        headers.insert(X_REQUEST_ID, id);
    }
}
