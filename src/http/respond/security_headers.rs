//! Owns the headers that every answer carries, of either listener.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, header};

/// Keeps tickets in URLs out of `Referer`, and browsers from guessing types.
pub(in crate::http) fn add_to(headers: &mut HeaderMap) {
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The layer.
pub(in crate::http) async fn layer(mut response: Response<Body>) -> Response<Body> {
    add_to(response.headers_mut());
    response
}
