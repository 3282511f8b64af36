//! Owns `/metrics`: the page for Prometheus, made for each request.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

/// The function that makes the page.
#[derive(Clone)]
pub struct Metrics(Arc<dyn Fn() -> String + Send + Sync>);

impl Metrics {
    /// Calls `page` for each request.
    pub fn new(page: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(page))
    }
}

/// `/metrics`.
pub(super) async fn show(State(Metrics(page)): State<Metrics>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page()).into_response()
}
