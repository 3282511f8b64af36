//! Owns what operators and orchestrators ask: is it alive, is it ready.

mod metrics;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};

pub use self::metrics::Metrics;
pub(super) use self::metrics::show as metrics;
use super::error::Error;
use super::openapi;
use crate::config::Settings;
use crate::core::budget::{Budget, Position};
use crate::core::task::PathFault;
use crate::lifecycle::Lifecycle;

/// What the admin handlers look at.
#[derive(Clone)]
pub struct Admin {
    /// The description of the API, as JSON.
    openapi: Bytes,
    budget: Budget,
    lifecycle: Lifecycle,
}

impl Admin {
    /// Looks at these.
    pub fn new(settings: &Settings, budget: Budget, lifecycle: Lifecycle) -> Self {
        Self { openapi: openapi::document(settings), budget, lifecycle }
    }
}

/// The process runs: 200 as long as it can answer at all.
pub(super) async fn livez() -> Response {
    plain(StatusCode::OK, "alive\n".to_owned())
}

/// New work is welcome: 503 while draining. Trouble with the key or the upstream is 200 with the reason:
/// known states are still served, and another instance would have the same trouble.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.lifecycle.is_stopping() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    match admin.budget.gate() {
        Position::Open => plain(StatusCode::OK, "ready\n".to_owned()),
        Position::Closed { because, .. } | Position::Probing { because } => {
            plain(StatusCode::OK, format!("degraded: {because}\n"))
        }
    }
}

/// The API that clients see.
pub(super) async fn openapi(State(admin): State<Admin>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, admin.openapi).into_response()
}

pub(super) async fn unknown() -> Response {
    Error::Path(PathFault::UnknownRoute).into_response()
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}
