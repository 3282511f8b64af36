//! Owns what browsers are told about reading across origins (the Fetch standard's CORS protocol).

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Gateway;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer: exact origins, no credentials, preflights good for two hours. It also sets `Vary`.
pub(super) fn layer(gateway: &Gateway) -> CorsLayer {
    let gateway = gateway.clone();
    // The Origin rule has let the request through already; asking it again keeps this layer safe alone.
    let allowed = AllowOrigin::predicate(move |origin, request| {
        let host = request.uri.authority().cloned().or_else(|| {
            let host = request.headers.get(header::HOST)?;
            host.as_bytes().try_into().ok()
        });
        host.is_some_and(|host| gateway.0.origins.allows(origin, &host))
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
            HeaderName::from_static("cache-status"),
            HeaderName::from_static("preference-applied"),
            REQUEST_ID,
        ])
        .max_age(Duration::from_secs(7200))
        .vary([header::ACCEPT, PREFER, header::ORIGIN])
}
