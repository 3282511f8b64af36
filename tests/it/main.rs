//! The integration tests, as one binary: it links once, and its tests share their fixtures.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails, and its fixtures bind, spawn and read clocks"
)]

mod access;
mod answers;
mod browser;
mod browsers;
mod clients;
mod conditional;
mod contents;
mod core;
mod credentials;
mod crowd;
mod dashboard;
mod departures;
mod dependencies;
mod docs;
mod estimates;
mod events;
mod examples;
mod faults;
mod floods;
mod foreign_answers;
mod fuzz;
mod hoarders;
mod hosts;
mod ids;
mod key;
mod layering;
mod limits;
mod list;
mod logs;
mod long_poll;
mod metrics;
mod mirror;
mod open_files;
mod process;
mod proxies;
mod replicas;
mod slow_clients;
mod smuggling;
mod support;
mod tls;
mod unusable;
