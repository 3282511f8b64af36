//! Owns the content type of the sandbox's answers.

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;

pub(super) const JSON_UTF8: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json; charset=utf-8")];
