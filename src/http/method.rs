//! Owns which requests are status requests at all: GET or HEAD, without a body. What HEAD gets, the headers
//! alone (RFC 9110, 9.3.2), is hyper's work.

use axum::extract::Request;
use http::{HeaderMap, HeaderValue, Method, header};

use super::error::Error;

/// Refuses other methods, and bodies on these.
pub(super) fn check(request: &Request, create_at: &str) -> Result<(), Error> {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::POST => {
            return Err(Error::MethodNotAllowed { create_at: Some(create_at.to_owned()) });
        }
        _ => return Err(Error::MethodNotAllowed { create_at: None }),
    }
    if announces_body(request.headers()) { Err(Error::BodyNotAllowed) } else { Ok(()) }
}

fn announces_body(headers: &HeaderMap) -> bool {
    let empty = HeaderValue::from_static("0");
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| *length != empty)
}
