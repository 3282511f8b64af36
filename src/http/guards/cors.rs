//! Owns the CORS header fields, which allow browsers to read across origins (Fetch standard, CORS protocol).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::host;
use super::origin::AllowedOrigins;
use crate::http::head::Head;
use crate::http::headers::{
    CACHE_STATUS, LAST_EVENT_ID, PREFER, PREFERENCE_APPLIED, TASKGATE_ESTIMATE, X_REQUEST_ID,
};

/// Whether CORS applies to a request: it has an `Origin`, or may be a preflight.
pub(in crate::http) fn concerns(request: &Head) -> bool {
    request.headers().contains_key(header::ORIGIN) || *request.method() == Method::OPTIONS
}

/// The layer: exact origins, no credentials, preflights cached for two hours. `Vary` is set elsewhere, for
/// all answers.
pub(in crate::http) fn layer(origins: Arc<AllowedOrigins>) -> CorsLayer {
    // The Origin rule has accepted the request already. The second check keeps this layer safe by itself.
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
            header::IF_MODIFIED_SINCE,
            header::IF_RANGE,
            header::RANGE,
            LAST_EVENT_ID,
            header::CACHE_CONTROL,
            X_REQUEST_ID,
            // What tracing adds to the requests of a page.
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
            HeaderName::from_static("baggage"),
            HeaderName::from_static("sentry-trace"),
        ])
        .expose_headers([
            header::ETAG,
            header::AGE,
            header::RETRY_AFTER,
            CACHE_STATUS,
            PREFERENCE_APPLIED,
            TASKGATE_ESTIMATE,
            X_REQUEST_ID,
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
        ])
        .max_age(Duration::from_secs(7200))
        .vary([])
}
