//! Owns the table of the admin listener's paths.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

use super::metrics::{self, Metrics};
use super::openapi::{self, Description};
use super::state::Admin;
use super::{dashboard, probes, purge, sign_in};
use crate::config::Settings;
use crate::core::task::PathFault;
use crate::http::guards::host::{self, Hosts};
use crate::http::respond::error::Error;
use crate::http::respond::security_headers;

/// The admin listener's routes and layers.
pub fn router(settings: &Settings, admin: Admin, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/openapi.json", get(openapi::show).with_state(Description::of(settings)))
        .route("/metrics", get(metrics::show).with_state(metrics))
        .merge(guarded())
        .fallback(unknown)
        .with_state(admin)
        .layer(from_fn_with_state(Hosts::for_admin(settings), host::layer))
        .layer(map_response(security_headers::layer))
}

/// The paths that need a right: each handler asks [`auth`](super::auth), and a layer refuses pages of other
/// origins before that.
fn guarded() -> Router<Admin> {
    Router::new()
        .route("/events", get(dashboard::events))
        .route("/session", any(sign_in::session))
        .route("/cache/{*path}", any(purge::answer))
        .route_layer(from_fn(sign_in::own_page))
        // Outside that layer, because a link on any page may lead here: the page itself holds no figures.
        .route("/", get(dashboard::page))
}

async fn unknown() -> Response {
    Error::Path(PathFault::UnknownRoute).into_response()
}
