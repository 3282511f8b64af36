//! taskgate: many pollers, one key, as few upstream requests as freshness needs.
//!
//! The way of a request: [`server`] (sockets) → [`http`] (rules, routes, headers) → [`core`] (what is
//! known, what is worth asking) → [`upstream`] (the one who holds the key). [`app`] puts them together
//! from [`config`]'s settings; `cli` is the command line; [`sandbox`] stands in for the upstream offline.

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod http;
pub mod lifecycle;
pub mod sandbox;
pub mod server;
pub mod telemetry;
pub mod upstream;
