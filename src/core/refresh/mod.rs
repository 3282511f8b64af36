//! Owns the refreshing: it takes interest, starts flights, and publishes and stores their results.
//!
//! - [`coordinator`] holds the parts; its lock guards the [`book`].
//! - [`join`] registers [`interest`] and gives a [`waiter`]; the waiters see the [`picture`].
//! - [`flights`] refresh tasks. [`one_off`] sends the requests that are none, [`cancel`] and [`open`], from the
//!   queue in [`one_offs`]. [`landing`] makes
//!   sure that each request ends. Each is a tokio task of its own, so a client that disconnects cannot cancel a flight.
//! - [`together`] has the flights of one replica among several, [`holding`] what they hold meanwhile. [`flown`] is what a
//!   flight brings home.
//! - [`ownership`] decides whether an answer is the task's own; [`refusals`] holds what it remembers.
//! - [`backoff`] delays the next request of a failing task.
//! - [`counters`], [`overview`], [`survey`] and [`recent_requests`] are for operators.

mod backoff;
mod book;
mod cancel;
mod coordinator;
mod counters;
mod flights;
mod flown;
mod holding;
mod interest;
mod join;
mod landing;
mod one_off;
mod one_offs;
mod open;
mod overview;
mod ownership;
mod picture;
mod recent_requests;
mod refusals;
mod survey;
#[cfg(test)]
mod tests;
mod together;
mod waiter;

pub(super) use self::coordinator::{Coordinator, Forecast};
pub use self::counters::CoreCounters;
pub(super) use self::join::Joined;
pub(super) use self::one_off::OneOffResult;
pub use self::overview::{Census, Overview, PacingOverview};
pub(super) use self::picture::FlightResult;
pub use self::recent_requests::{FailedRequest, Latency, RecentRequests};
pub use self::survey::{Next, TaskRow};
pub(super) use self::waiter::{Postponed, Waiter};
