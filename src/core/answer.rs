//! Owns what a client is told: an answer and where it came from, or a refusal and its reason.

use std::sync::Arc;

use tokio::time::Duration;

use super::failure::Failure;
use super::state::State;
use super::time::seconds_up;

/// What is handed out.
#[derive(Debug)]
pub struct Answer {
    /// The state, and with it the bytes.
    pub state: Arc<State>,
    /// How it was come by.
    pub origin: Origin,
    /// When to ask again, in seconds, for a task under way.
    pub retry_after: Option<u64>,
}

/// How an answer was come by: what `Cache-Status` (RFC 9211) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was fresh.
    Hit,
    /// The upstream was asked.
    Fetched {
        /// Whether an older state was known.
        known_before: bool,
        /// The upstream's status code.
        status: u16,
        /// Whether it is kept.
        stored: bool,
        /// Whether somebody else's request brought it.
        collapsed: bool,
    },
    /// It stands in for an answer that cannot be had.
    StandIn {
        /// Why that is.
        reason: Reason,
        /// Whether the upstream was asked, in vain.
        asked: bool,
    },
}

/// Why there is no answer, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// When to ask again, in seconds.
    pub retry_after: u64,
}

/// Why an answer has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The key's budget is spent for the moment.
    Budget,
    /// Too many tasks have interest at once.
    Overloaded,
    /// The gateway stops.
    ShuttingDown,
    /// The upstream failed: for this task, or for all.
    Upstream(Failure),
}

impl Reason {
    /// Whether it is the same trouble, whatever its figures.
    pub(super) fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Upstream(one), Self::Upstream(two)) => {
                std::mem::discriminant(&one) == std::mem::discriminant(&two)
            }
            _ => self == other,
        }
    }
}

/// Whole seconds, at least one, and up to a fifth later: clients told the same do not come back at once.
pub(super) fn spread(wait: Duration) -> u64 {
    let seconds = seconds_up(wait).max(1);
    seconds + fastrand::u64(0..=seconds.div_ceil(5))
}
