//! Owns the settings of the core.

use tokio::time::Duration;

use super::state::Retention;

/// The settings of the core.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The lifetimes of states.
    pub retention: Retention,
    /// The longest wait of a plain GET for the start of its refresh.
    pub patience: Duration,
    /// The time for which a task must be missing before a watch counts it as gone.
    pub gone_after: Duration,
    /// The longest duration of one flight.
    pub timeout: Duration,
    /// The largest number of tasks that have interest at once.
    pub max_tasks: usize,
}
