//! Owns the answer to a client: a state and its origin, or a refusal and its reason.

use std::sync::Arc;

use tokio::time::Duration;

use super::failure::Failure;
use super::state::State;
use super::time::seconds_up;

/// A state for a client, and its origin.
#[derive(Debug)]
pub struct Answer {
    /// The state, which holds the body.
    pub state: Arc<State>,
    /// The origin of the state.
    pub origin: Origin,
    /// The seconds after which the client should ask again; `None` unless the task is live.
    pub retry_after: Option<u64>,
}

/// The origin of an answer, which `Cache-Status` (RFC 9211) reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The state was fresh.
    Hit,
    /// The upstream was asked.
    Fetched {
        /// Whether an older state was known.
        known_before: bool,
        /// The upstream's status code.
        status: u16,
        /// Whether the store keeps the answer.
        stored: bool,
        /// Whether the request was coalesced with that of another client.
        collapsed: bool,
    },
    /// The last known state stands in for an answer of the upstream.
    StandIn {
        /// The reason why the upstream gave no answer.
        reason: Reason,
        /// Whether the upstream was asked, without success.
        asked: bool,
    },
}

/// The refusal of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The reason for the refusal.
    pub reason: Reason,
    /// The seconds after which the client should ask again.
    pub retry_after: u64,
}

/// The reason for a refusal or a stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The budget of the API key is exhausted for the moment.
    Budget,
    /// Too many tasks have interest at once.
    Overloaded,
    /// The gateway shuts down.
    ShuttingDown,
    /// The upstream failed, for this task or for all tasks.
    Upstream(Failure),
}

impl Reason {
    /// Whether both reasons are of the same kind. Figures, such as a status code or a wait, are ignored.
    pub(super) fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Upstream(one), Self::Upstream(two)) => {
                std::mem::discriminant(&one) == std::mem::discriminant(&two)
            }
            _ => self == other,
        }
    }
}

/// The wait in whole seconds, at least 1, plus up to a fifth of it at random: clients with the same wait do
/// not come back all at once.
pub(super) fn spread(wait: Duration) -> u64 {
    let seconds = seconds_up(wait).max(1);
    seconds + fastrand::u64(0..=seconds.div_ceil(5))
}
