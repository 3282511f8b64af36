//! taskgate: many pollers, one key, as few upstream requests as freshness needs.
//!
//! The path of a request: [`server`] (sockets) → [`http`] (rules, routes, headers) → [`core`] (states, and
//! whose refresh is next) → [`upstream`] (the only part that holds the key). [`app`] connects the parts by
//! [`config`]'s settings; `cli` is the command line; [`sandbox`] simulates the upstream offline.

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod http;
pub mod lifecycle;
pub mod sandbox;
pub mod server;
pub mod shared;
pub mod telemetry;
pub mod upstream;
