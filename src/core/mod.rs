//! Owns what taskgate is about: tasks, their states, and when to ask for them again.
//!
//! It names no axum, hyper, reqwest or settings file. Time is tokio's, so tests can pause it; the pure parts
//! (`pacing`, `schedule`, `budget`'s bucket and gate) take it as an argument.
//!
//! The way of a plain GET: [`mirror`] → [`store`]: fresh? else [`refresh`] → [`schedule`] → [`budget`] →
//! [`ports::Source`] → picture and store → everyone who waits. What replicas will share (states, leases, the budget)
//! goes through `store` and `budget`: a shared tier fits behind those two.

pub mod answer;
pub mod budget;
pub mod cause;
pub mod delivery;
pub mod failure;
pub mod grant;
pub mod hex;
pub mod identity;
pub mod metric;
pub mod mirror;
pub mod pacing;
pub mod policy;
pub mod ports;
pub mod refresh;
pub mod request_id;
pub mod rolling_counter;
pub mod schedule;
pub mod sha256;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod task;
pub mod ticket;
pub mod time;
pub mod token;
pub mod watch;
