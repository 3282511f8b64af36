//! Owns `/taskgate.js`: the ES module with which pages and programs watch tasks.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::core::hex;
use crate::core::sha256;
use crate::http::gateway::Parts;
use crate::http::head::Head;
use crate::http::respond::error::Error;
use crate::http::respond::if_none_match::IfNoneMatch;

const MODULE: &str = include_str!("../../../clients/js/taskgate.js");

/// The module, or 304 for a client that has it. It is the same for every client, so it needs no credential.
pub(in crate::http) fn read(gateway: &Parts, request: &Head) -> Result<Response, Error> {
    static ETAG: LazyLock<HeaderValue> = LazyLock::new(etag);
    gateway.methods.check_reading(request)?;
    let is_known = IfNoneMatch::of(request.headers()).names(&ETAG);
    let headers = [
        (header::ETAG, ETAG.clone()),
        // It is asked for again each time, and most often not sent: a new gateway may speak otherwise.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"))];
    Ok(if is_known {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, kind, MODULE).into_response()
    })
}

fn etag() -> HeaderValue {
    let tag = format!("\"{}\"", &hex::encode(&sha256::hash(MODULE.as_bytes()))[..32]);
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"module\""))
}
