//! Owns what goes in and out of the pacing: a look at a task, and the plan of the next one.

use tokio::time::{Duration, Instant};

use super::clocks::Track;
use crate::core::snapshot::Snapshot;

/// One look at a task, and what was known of the task before.
#[derive(Debug, Clone, Copy)]
pub struct Look<'l> {
    /// The number of the task's route.
    pub route: usize,
    /// The time of the gateway's first answer about it.
    pub first_seen: Instant,
    /// The knowledge of it until then.
    pub before: Before<'l>,
    /// The answer.
    pub snapshot: &'l Snapshot,
}

/// The knowledge of a task before a look.
#[derive(Debug, Clone, Copy)]
pub enum Before<'l> {
    /// Nothing: it is the first look, as far as is known.
    Nothing,
    /// It ran.
    Running {
        /// The memory of it.
        track: &'l Track,
        /// Its status word.
        word: Option<&'l str>,
    },
    /// It was over.
    Over,
}

impl<'l> Before<'l> {
    pub(super) fn track(self) -> Option<&'l Track> {
        match self {
            Self::Running { track, .. } => Some(track),
            Self::Nothing | Self::Over => None,
        }
    }
}

/// When a live task is looked at again.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The wait until it is due.
    pub wait: Duration,
    /// The time for which the state is fresh, for clients that ask.
    pub fresh_for: Duration,
    /// The memory of the task until then.
    pub track: Option<Box<Track>>,
}
