//! Owns what operators and orchestrators ask: is it alive, is it ready, how does it fare; and purging.

mod dashboard;
mod door;
mod figures;
mod metrics;
mod purge;
mod sessions;
mod verdict;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use http::{StatusCode, header};
use tokio::time::Instant;

use self::dashboard::Board;
use self::door::Door;
pub use self::metrics::Metrics;
pub(super) use self::metrics::show as metrics;
use super::Gateway;
use super::error::Error;
use super::openapi;
use crate::config::Settings;
use crate::core::budget::{Budget, Position};
use crate::core::task::PathFault;
use crate::lifecycle::Lifecycle;

/// What the admin handlers look at. A clone is another handle to it.
#[derive(Clone)]
pub struct Admin(Arc<Parts>);

struct Parts {
    gateway: Gateway,
    /// The description of the API, as JSON.
    openapi: Bytes,
    budget: Budget,
    lifecycle: Lifecycle,
    door: Door,
    board: Board,
    started: Instant,
    max_bytes: u64,
}

impl Admin {
    /// Looks at these, from now on.
    pub fn new(settings: &Settings, gateway: Gateway, budget: Budget, lifecycle: Lifecycle) -> Self {
        let door = Door::new(settings, Arc::clone(&gateway.0.access));
        let (started, max_bytes) = (Instant::now(), settings.cache.max_bytes);
        Self(Arc::new(Parts {
            gateway,
            openapi: openapi::document(settings),
            budget,
            lifecycle,
            door,
            board: Board::new(),
            started,
            max_bytes,
        }))
    }
}

/// What is not for everybody: each of these asks the door, and no page of another origin gets that far.
pub(super) fn guarded() -> Router<Admin> {
    Router::new()
        .route("/events", get(dashboard::events))
        .route("/session", any(door::session))
        .route("/cache/{*path}", any(purge::answer))
        .route_layer(from_fn(door::own_page))
        // A link may lead here from anywhere: the page itself holds nothing.
        .route("/", get(dashboard::page))
}

/// The process runs: 200 as long as it can answer at all.
pub(super) async fn livez() -> Response {
    plain(StatusCode::OK, "alive\n".to_owned())
}

/// New work is welcome: 503 while draining. Trouble with the key or the upstream is 200 with the reason:
/// known states are still served, and another instance would have the same trouble.
pub(super) async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.0.lifecycle.is_stopping() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned());
    }
    match admin.0.budget.gate() {
        Position::Open => plain(StatusCode::OK, "ready\n".to_owned()),
        Position::Closed { because, .. } | Position::Probing { because } => {
            plain(StatusCode::OK, format!("degraded: {because}\n"))
        }
    }
}

/// The API that clients see.
pub(super) async fn openapi(State(admin): State<Admin>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, admin.0.openapi.clone()).into_response()
}

pub(super) async fn unknown() -> Response {
    Error::Path(PathFault::UnknownRoute).into_response()
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}
