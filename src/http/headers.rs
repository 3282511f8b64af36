//! Owns the names of header fields for which the `http` crate has no constant.

use http::HeaderName;

/// RFC 9211.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// HTML standard, 9.2.4.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// RFC 7240, 2.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// RFC 7240, 3.
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// W3C Fetch Metadata.
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// When a task is likely to end, in seconds.
pub(super) const TASKGATE_ESTIMATE: HeaderName = HeaderName::from_static("taskgate-estimate");
/// nginx buffers events unless the value is `no`.
pub(super) const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The addresses from which proxies took the request; each proxy appends one on the right.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The id of a request: the client's own where that is valid, else a random one.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
