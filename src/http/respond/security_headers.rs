//! Owns the security header fields that every answer of both listeners has.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, header};

/// Adds the fields that keep tickets in URLs out of `Referer`, and browsers from guessing content types.
pub(in crate::http) fn add_to(headers: &mut HeaderMap) {
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The admin listener's layer that adds them.
pub(in crate::http) async fn layer(mut response: Response<Body>) -> Response<Body> {
    add_to(response.headers_mut());
    response
}
