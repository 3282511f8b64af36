//! Owns the methods of the main listener: GET, HEAD and, where cancelling is allowed, DELETE, all without a
//! body. hyper leaves the body out of an answer to HEAD (RFC 9110, 9.3.2).

use http::{HeaderMap, HeaderValue, Method, header};

use crate::core::task::{Routes, TaskKey};
use crate::http::head::Head;
use crate::http::respond::error::Error;

const READING: &str = "GET, HEAD, OPTIONS";
const CANCELLING: &str = "GET, HEAD, DELETE, OPTIONS";

/// The methods that status paths accept.
pub(in crate::http) struct Methods {
    /// Whether DELETE is accepted, by `access.allow_cancel`.
    pub(in crate::http) cancelling: bool,
    /// The upstream's base URL, where tasks are created. The answer to a POST names it.
    pub(in crate::http) create_at: String,
}

impl Methods {
    /// Accepts a request that reads a task or cancels one.
    pub(in crate::http) fn check(&self, request: &Head) -> Result<(), Error> {
        let allowed = if self.cancelling { CANCELLING } else { READING };
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::DELETE if self.cancelling => {}
            Method::POST => {
                return Err(Error::MethodNotAllowed { allowed, create_at: Some(self.create_at.clone()) });
            }
            _ => return Err(Error::MethodNotAllowed { allowed, create_at: None }),
        }
        if announces_body(request.headers()) { Err(Error::BodyNotAllowed) } else { Ok(()) }
    }

    /// Accepts a request that only reads.
    pub(in crate::http) fn check_reading(&self, request: &Head) -> Result<(), Error> {
        if *request.method() == Method::DELETE {
            return Err(Error::MethodNotAllowed { allowed: READING, create_at: None });
        }
        self.check(request)
    }
}

/// Accepts the canonical path of a task. The other paths only read it.
pub(in crate::http) fn check_cancelling(routes: &Routes, key: &TaskKey) -> Result<(), Error> {
    if routes.is_canonical(key) {
        Ok(())
    } else {
        Err(Error::MethodNotAllowed { allowed: READING, create_at: None })
    }
}

/// Whether the request announces a body, which stays unread: its bytes could be taken for the next request of
/// the connection. (For a GET with a body, see [`Error::BodyNotAllowed`].)
pub(in crate::http) fn leaves_body(request: &Head) -> bool {
    *request.method() != Method::GET && announces_body(request.headers())
}

fn announces_body(headers: &HeaderMap) -> bool {
    let empty = HeaderValue::from_static("0");
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| *length != empty)
}
