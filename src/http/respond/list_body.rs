//! Owns the wire form of a list of tasks and its items.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::Error;
use crate::core::snapshot::without_mark;
use crate::core::state::State;

/// The most tasks that one request may name.
pub(in crate::http) const MOST: usize = 100;
/// The requested tasks.
// Only for the API's description: `response` joins items that are bytes already.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its fields are what it is for")]
pub(in crate::http) struct List<'a> {
    /// `list`.
    object: &'static str,
    /// One item for each requested task, in the order of the request.
    data: Vec<Item<'a>>,
}

/// One task of the list. `task` and `error` are the upstream's JSON, unchanged.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its fields describe the wire form")]
pub(in crate::http) struct Item<'a> {
    /// The id or path, as in the request.
    id: &'a str,
    /// The task's own status path.
    path: Option<&'a str>,
    /// The HTTP status that the task's own status path would answer with.
    code: u16,
    /// The task, as the upstream answered it.
    #[schema(value_type = Option<Object>)]
    task: Option<&'a RawValue>,
    /// The error, where there is no task.
    #[schema(value_type = Option<Object>)]
    error: Option<&'a RawValue>,
    /// Present and true where the state is stale, because no fresh one could be fetched.
    stale: Option<bool>,
}

/// The beginning of an item.
#[derive(Serialize)]
struct ItemHead<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    code: u16,
}

impl ItemHead<'_> {
    /// The item with this member, in pieces: the value is shared.
    fn with(&self, name: &str, value: Bytes, stale: bool) -> Vec<Bytes> {
        // A struct of strings and numbers always serializes.
        let mut head = serde_json::to_vec(self).unwrap_or_default();
        head.pop();
        head.extend_from_slice(format!(",\"{name}\":").as_bytes());
        vec![head.into(), value, Bytes::from_static(if stale { b",\"stale\":true}" } else { b"}" })]
    }
}

/// The item of a task whose state is known.
pub(in crate::http) fn known(id: &str, path: &str, state: &State, stale: bool) -> Vec<Bytes> {
    let body = &state.snapshot.body;
    let head = ItemHead { id, path: Some(path), code: state.snapshot.status.as_u16() };
    // Every body that is kept is JSON; what surrounds it is not.
    let json = serde_json::from_slice::<&RawValue>(without_mark(body)).ok();
    match json {
        Some(json) if !state.snapshot.phase.is_known() => {
            head.with("error", body.slice_ref(inner_error(json).get().as_bytes()), stale)
        }
        Some(json) => head.with("task", body.slice_ref(json.get().as_bytes()), stale),
        None => head.with("task", Bytes::from_static(b"null"), stale),
    }
}

/// The item of a task that is answered with an error.
pub(in crate::http) fn refused(id: &str, path: Option<&str>, error: &Error) -> Vec<Bytes> {
    let envelope = Bytes::from(error.envelope());
    let json = serde_json::from_slice::<&RawValue>(&envelope).ok();
    let inner = json.map_or(&b"null"[..], |json| inner_error(json).get().as_bytes());
    let head = ItemHead { id, path, code: error.status().as_u16() };
    head.with("error", Bytes::copy_from_slice(inner), false)
}

/// The `error` member of an error envelope, or the whole JSON where it is no envelope.
fn inner_error(json: &RawValue) -> &RawValue {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    serde_json::from_str(json.get()).map_or(json, |Envelope { error }| error)
}

/// The list of these items, written in pieces: a hundred references to one task's bytes are a hundred pointers.
pub(in crate::http) fn response(items: Vec<Vec<Bytes>>) -> Response {
    let mut pieces = vec![Bytes::from_static(br#"{"object":"list","data":["#)];
    for (number, item) in items.into_iter().enumerate() {
        if number > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.extend(item);
    }
    pieces.push(Bytes::from_static(b"]}"));
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
