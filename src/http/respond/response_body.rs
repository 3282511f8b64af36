//! Owns what every answer of the main listener is made of: the bytes of a task as they are kept, or any other body,
//! and the headers that all carry.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{Either, Full};

use super::security_headers;
use crate::http::headers::X_REQUEST_ID;
use crate::http::request_log;

/// What an answer depends on beside its URL, whoever asks.
const VARY: HeaderValue = HeaderValue::from_static("accept, prefer, origin");

/// The body of an answer. In a box, as axum's bodies are, the bytes of a task would cost every hit an allocation.
pub type ResponseBody = Either<Full<Bytes>, Body>;

/// The bytes of a task, or none.
pub(in crate::http) fn whole(bytes: Bytes) -> ResponseBody {
    Either::Left(Full::new(bytes))
}

/// Any other answer, with the headers that all carry.
pub(in crate::http) fn other(answer: impl IntoResponse) -> Response<ResponseBody> {
    let mut answer = answer.into_response();
    carried(answer.headers_mut());
    answer.map(Either::Right)
}

/// The headers that every answer of the main listener carries, and that are known before the answer is.
pub(in crate::http) fn carried(headers: &mut HeaderMap) {
    security_headers::add_to(headers);
    headers.insert(header::VARY, VARY);
    if let Some(id) = request_log::id_header() {
        headers.insert(X_REQUEST_ID, id);
    }
}
