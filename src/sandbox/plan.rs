//! Owns the plan of a task: prompt, model, duration and ending, set at its create.

use std::time::Duration;

/// The plan of a task. The default starts now, with the options' duration and failure rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Echoed in every answer.
    pub prompt: String,
    /// Echoed in every answer; `None` is `sandbox-` and the medium.
    pub model: Option<String>,
    /// The course of the task.
    pub course: Course,
    /// The age of the task at its start.
    pub elapsed: Duration,
}

/// The course of a task: its states over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Course {
    /// Pending for a fifth of its duration, then processing, then ended.
    Run {
        /// From create to end; `None` takes the options' duration for its medium.
        duration: Option<Duration>,
        /// `None` draws one by the failure rate.
        ending: Option<Ending>,
    },
    /// Always in this state.
    Pinned(Pin),
}

/// The end of a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Completed,
    /// With an error.
    Failed,
}

/// A state that a task can be pinned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Not started; a video can still be cancelled.
    Pending,
    /// Under way, with this progress in percent, 0 to 100.
    Processing(u8),
    /// Ended, with a result.
    Completed,
    /// Ended, with an error.
    Failed,
    /// Ended on request: failed, and marked as cancelled.
    Cancelled,
    /// No longer kept: answers 404.
    Expired,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            prompt: "A lemon tree in the rain 🍋".to_owned(),
            model: None,
            course: Course::default(),
            elapsed: Duration::ZERO,
        }
    }
}

impl Default for Course {
    fn default() -> Self {
        Self::Run { duration: None, ending: None }
    }
}
