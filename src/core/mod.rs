//! Owns what taskgate is about: tasks, what is known of them, and when to ask again.
//!
//! It names no axum, hyper, reqwest or settings file. Time is tokio's, so tests can pause it; pure
//! parts (`pacing`, `schedule`, `budget`'s bucket and gate) take it as an argument.
//!
//! The way of a plain GET: [`mirror`] → [`store`]: fresh? else [`desk`] → `schedule` → [`budget`] →
//! [`ports::Source`] → `picture` and store → everyone who waits. What replicas will share one day
//! (states, leases, the budget) goes through `store` and `budget`: a shared tier fits behind those two.

pub mod budget;
pub mod cause;
pub mod chronicle;
mod desk;
pub mod grant;
pub mod hex;
mod interest;
pub mod mirror;
pub mod pacing;
mod picture;
pub mod ports;
pub mod pulse;
pub mod schedule;
mod setback;
pub mod snapshot;
pub mod store;
pub mod tally;
pub mod task;
pub mod ticket;
pub mod token;
pub mod watch;
