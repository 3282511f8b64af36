//! Owns the refreshing: interest comes in, flights go out, their results are published and kept.
//!
//! - [`coordinator`] holds the parts; [`book`] is what its lock guards.
//! - [`join`] registers [`interest`] and gives a [`waiter`]; [`picture`] is what the waiters see.
//! - [`flights`] and [`cancel`] send requests; [`landing`] makes sure that each of them ends. A flight is a task of its
//!   own, so no client's departure can cancel it.
//! - [`ownership`] decides whether an answer is the task's own; [`refusals`] is what it remembers.
//! - [`backoff`] keeps a failing task back; [`counters`], [`overview`], [`survey`] and [`recent_requests`] are for
//!   operators.

mod backoff;
mod book;
mod cancel;
mod coordinator;
mod counters;
mod flights;
mod interest;
mod join;
mod landing;
mod overview;
mod ownership;
mod picture;
mod recent_requests;
mod refusals;
mod survey;
#[cfg(test)]
mod tests;
mod waiter;

pub(super) use self::cancel::Cancellation;
pub(super) use self::coordinator::{Coordinator, Forecast};
pub use self::counters::CoreCounters;
pub(super) use self::join::Joined;
pub use self::overview::{Census, Overview};
pub(super) use self::picture::FlightResult;
pub use self::recent_requests::{FailedRequest, Latency, RecentRequests};
pub use self::survey::{Next, TaskRow};
pub(super) use self::waiter::Waiter;
