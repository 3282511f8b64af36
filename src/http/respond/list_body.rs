//! Owns the wire form of a list of tasks and its items.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::Error;
use crate::core::snapshot::Phase;
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
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Item<'a> {
    /// The id or path, as in the request.
    id: &'a str,
    /// The task's own status path.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// The HTTP status that the task's own status path would answer with.
    code: u16,
    /// The task, as the upstream answered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    task: Option<&'a RawValue>,
    /// The error, where there is no task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    error: Option<&'a RawValue>,
    /// Present and true where the state is stale, because no fresh one could be fetched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// The item of a task whose state is known.
pub(in crate::http) fn known(id: &str, path: &str, state: &State, stale: bool) -> Vec<u8> {
    let path = Some(path);
    let code = state.snapshot.status.as_u16();
    let json: Option<&RawValue> = serde_json::from_slice(&state.snapshot.body).ok();
    let item = if state.snapshot.phase == Phase::Missing {
        Item { id, path, code, task: None, error: json.map(inner_error), stale }
    } else {
        Item { id, path, code, task: json, error: None, stale }
    };
    serde_json::to_vec(&item).unwrap_or_default()
}

/// The item of a task that is answered with an error.
pub(in crate::http) fn refused(id: &str, path: Option<&str>, error: &Error) -> Vec<u8> {
    let envelope = error.envelope();
    let json: Option<&RawValue> = serde_json::from_slice(&envelope).ok();
    let code = error.status().as_u16();
    let item = Item { id, path, code, task: None, error: json.map(inner_error), stale: false };
    serde_json::to_vec(&item).unwrap_or_default()
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

/// The list of these items.
pub(in crate::http) fn response(items: &[Vec<u8>]) -> Response {
    let mut body = br#"{"object":"list","data":["#.to_vec();
    body.extend_from_slice(&items.join(&b','));
    body.extend_from_slice(b"]}");
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
