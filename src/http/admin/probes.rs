//! Owns `/livez` and `/readyz`, the probes of orchestrators.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::state::Admin;
use crate::core::budget::Position;

/// `/livez`: 200 as long as the process can answer at all.
pub(in crate::http) async fn livez() -> Response {
    plain(StatusCode::OK, "alive\n".to_owned())
}

/// `/readyz`: 503 while draining, else 200. Trouble with the key, the upstream or the shared tier is 200 with each reason on a line,
/// because known states are still served, and another instance would have the same trouble.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.0.lifecycle.is_stopping() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    let closed = match admin.0.budget.gate() {
        Position::Open => None,
        Position::Closed { because, .. } | Position::Probing { because } => Some(because.to_string()),
    };
    let reasons: String = closed
        .into_iter()
        .chain((admin.0.unusable)())
        .chain((admin.0.sharing)().and_then(|sharing| sharing.alone))
        .map(|reason| format!("degraded: {reason}\n"))
        .collect();
    plain(StatusCode::OK, if reasons.is_empty() { "ready\n".to_owned() } else { reasons })
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}
