//! Owns the headers that every answer carries, of either listener.

use axum::response::Response;
use http::{HeaderValue, header};

/// Keeps tickets in URLs out of `Referer`, and browsers from guessing types.
pub(super) fn seal(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The layer.
pub(super) async fn sealed(mut response: Response) -> Response {
    seal(&mut response);
    response
}
