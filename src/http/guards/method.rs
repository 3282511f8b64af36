//! Owns which requests are status requests at all: GET, HEAD or, where it is allowed, DELETE, without a body.
//! What HEAD gets, the headers alone (RFC 9110, 9.3.2), is hyper's work.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::core::task::{Routes, TaskKey};
use crate::http::head::Head;
use crate::http::respond::error::Error;

const READING: &str = "GET, HEAD, OPTIONS";
const CANCELLING: &str = "GET, HEAD, DELETE, OPTIONS";

/// Which methods a path takes.
pub(in crate::http) struct Methods {
    /// DELETE is one of them.
    pub(in crate::http) cancelling: bool,
    /// Where tasks are created: named in the answer to a POST.
    pub(in crate::http) create_at: String,
}

impl Methods {
    /// Lets a request through that reads a task or cancels one.
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

    /// Lets a request through that only reads.
    pub(in crate::http) fn check_reading(&self, request: &Head) -> Result<(), Error> {
        if *request.method() == Method::DELETE {
            return Err(Error::MethodNotAllowed { allowed: READING, create_at: None });
        }
        self.check(request)
    }
}

/// Tasks are cancelled by their canonical path: the others only show them.
pub(in crate::http) fn check_cancelling(routes: &Routes, key: &TaskKey) -> Result<(), Error> {
    if routes.is_canonical(key) {
        Ok(())
    } else {
        Err(Error::MethodNotAllowed { allowed: READING, create_at: None })
    }
}

/// Whether a body follows that nobody reads. What comes after it on this connection could be taken for a request.
/// (A GET's is an error of its own.)
pub(in crate::http) fn leaves_body(request: &Head) -> bool {
    *request.method() != Method::GET && announces_body(request.headers())
}

fn announces_body(headers: &HeaderMap) -> bool {
    let empty = HeaderValue::from_static("0");
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| *length != empty)
}
