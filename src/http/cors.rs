//! Owns what browsers are told about reading across origins (the Fetch standard's CORS protocol).

use std::time::Duration;

use http::{Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::events::LAST_EVENT_ID;
use super::render::{CACHE_STATUS, PREFERENCE_APPLIED};
use super::request_id::REQUEST_ID;
use super::way::PREFER;
use super::{Gateway, host};

/// The layer: exact origins, no credentials, preflights good for two hours. It also sets `Vary`.
pub(super) fn layer(gateway: &Gateway) -> CorsLayer {
    let gateway = gateway.clone();
    // The Origin rule has let the request through already; asking it again keeps this layer safe alone.
    let allowed = AllowOrigin::predicate(move |origin, request| {
        let asked = host::authority(&request.uri, &request.headers);
        asked.is_ok_and(|asked| gateway.0.origins.allows(origin, &asked))
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
        .vary([header::ACCEPT, PREFER, header::ORIGIN])
}
