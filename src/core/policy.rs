//! Owns what the settings say about the core.

use tokio::time::Duration;

use super::pacing::Pacing;
use super::state::Retention;

/// How the core behaves, from the settings.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How often live tasks are asked about.
    pub pacing: Pacing,
    /// How long states are kept.
    pub retention: Retention,
    /// How long a plain GET waits for its refresh to start.
    pub patience: Duration,
    /// How long one flight may take.
    pub timeout: Duration,
    /// How many tasks may have interest at once.
    pub max_tasks: usize,
}
