//! Owns what every answer of the main listener is made of: the bytes of a task as they are kept, or any other body,
//! and the headers that all carry.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{Either, Full};

use super::note;
use super::request_id::REQUEST_ID;
use super::seal::seal;

/// What an answer depends on beside its URL, whoever asks.
const VARY: HeaderValue = HeaderValue::from_static("accept, prefer, origin");

/// The body of an answer. In a box, as axum's bodies are, the bytes of a task would cost every hit an allocation.
pub type Content = Either<Full<Bytes>, Body>;

/// The bytes of a task, or none.
pub(super) fn whole(bytes: Bytes) -> Content {
    Either::Left(Full::new(bytes))
}

/// Any other answer, with the headers that all carry.
pub(super) fn other(answer: impl IntoResponse) -> Response<Content> {
    let mut answer = answer.into_response();
    carried(answer.headers_mut());
    answer.map(Either::Right)
}

/// The headers that every answer of the main listener carries, and that are known before the answer is.
pub(super) fn carried(headers: &mut HeaderMap) {
    seal(headers);
    headers.insert(header::VARY, VARY);
    if let Some(id) = note::request_id() {
        headers.insert(REQUEST_ID, id);
    }
}
