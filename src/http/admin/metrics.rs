//! Owns `/metrics`: the page that Prometheus reads, made when it is asked for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;

/// What makes the page.
#[derive(Clone)]
pub struct Metrics(Arc<dyn Fn() -> String + Send + Sync>);

impl Metrics {
    /// Asks this for each page.
    pub fn new(page: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(page))
    }
}

/// The page.
pub(super) async fn show(State(Metrics(page)): State<Metrics>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page()).into_response()
}
