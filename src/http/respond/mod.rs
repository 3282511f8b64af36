//! Owns the wire form of answers and errors. Nothing here counts or records.

pub(in crate::http) mod error;
pub(in crate::http) mod error_response;
mod error_text;
pub(in crate::http) mod estimate;
pub(in crate::http) mod if_none_match;
pub(in crate::http) mod list_body;
pub(in crate::http) mod render;
pub(in crate::http) mod response_body;
pub(in crate::http) mod security_headers;
pub mod sse;
