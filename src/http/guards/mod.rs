//! Owns the access rules and the limits per client: each guard accepts a request or returns the error.

pub(in crate::http) mod access;
pub(in crate::http) mod cors;
mod forwarded;
pub(in crate::http) mod host;
pub(in crate::http) mod limits;
pub(in crate::http) mod method;
pub(in crate::http) mod origin;
mod proxy_hint;
pub(in crate::http) mod streams;
