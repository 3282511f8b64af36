//! taskgate: many pollers, one key, as few upstream requests as freshness needs.
#![forbid(unsafe_code)]

pub mod config;
pub mod core;
pub mod lifecycle;
pub mod sandbox;
pub mod upstream;
