//! Owns what browsers are told about reading across origins (the Fetch standard's CORS protocol).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Response, header};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::content::{Content, other};
use super::events::LAST_EVENT_ID;
use super::origin::Origins;
use super::render::{CACHE_STATUS, PREFERENCE_APPLIED};
use super::request_id::REQUEST_ID;
use super::way::PREFER;
use super::{Gateway, Head, front, host};

/// Whether a request is one of a page, or may be. Whoever sends no origin is no page of another one, and needs none
/// of this.
pub(super) fn concerns(request: &Head) -> bool {
    request.headers().contains_key(header::ORIGIN) || *request.method() == Method::OPTIONS
}

/// Answers a page's request in the way of CORS.
pub(super) async fn answer(gateway: &Gateway, request: Head, peer: SocketAddr) -> Response<Content> {
    let routed = service_fn(async |request: Head| {
        Ok::<_, Infallible>(front::route(gateway, request, peer).await.map(Body::new))
    });
    let answer = gateway.0.cors.layer(routed).oneshot(request).await;
    other(answer.unwrap_or_else(|never| match never {}))
}

/// The rule: exact origins, no credentials, preflights good for two hours. `Vary` is set for all alike.
pub(super) fn layer(origins: Arc<Origins>) -> CorsLayer {
    // The Origin rule has let the request through already; asking it again keeps this layer safe alone.
    let allowed = AllowOrigin::predicate(move |origin, request| {
        let asked = host::authority(&request.uri, &request.headers);
        asked.is_ok_and(|asked| origins.allows(origin, &asked))
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            PREFER,
            header::IF_NONE_MATCH,
            LAST_EVENT_ID,
            header::CACHE_CONTROL,
            REQUEST_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::AGE,
            header::RETRY_AFTER,
            CACHE_STATUS,
            PREFERENCE_APPLIED,
            REQUEST_ID,
        ])
        .max_age(Duration::from_secs(7200))
        .vary([])
}
