//! Owns the core of taskgate: tasks, their states, and the times of their refreshes.
//!
//! The core names no axum, hyper, reqwest or settings file. Its time is tokio's, so that tests can pause it;
//! the pure parts (`pacing`, `schedule`, `budget`'s bucket and gate) take the time as an argument.
//!
//! The path of a plain GET: [`mirror`] → [`store`], which answers where the state is fresh; otherwise
//! [`refresh`] → [`schedule`] → [`budget`] → [`ports::Source`] → picture and store → all waiters. Where replicas
//! share a tier ([`shared`]), a flight asks it between `budget` and `Source`, and tells it before picture and store.

pub mod alarm;
pub mod answer;
pub mod budget;
pub mod cause;
pub mod content;
pub mod delivery;
pub mod failure;
pub mod grant;
pub mod hex;
pub mod hmac;
mod holdings;
pub mod identity;
mod meter;
pub mod metric;
pub mod mirror;
pub mod pacing;
pub mod places;
pub mod policy;
pub mod ports;
pub mod refresh;
pub mod request_id;
pub mod rolling_counter;
pub mod schedule;
pub mod sha256;
pub mod shared;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod task;
pub mod ticket;
pub mod time;
pub mod token;
pub mod watch;
