//! Owns what can be asked of a task before it starts.

use std::time::Duration;

/// A task to be. The default runs as the sandbox's options say, from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Echoed in every answer.
    pub prompt: String,
    /// Echoed in every answer; `None` is `sandbox-` and the medium.
    pub model: Option<String>,
    /// How it goes.
    pub course: Course,
    /// How long ago it was created: it starts this far into its life.
    pub elapsed: Duration,
}

/// How a task goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Course {
    /// It runs: a fifth of its duration pending, the rest processing, then it ends.
    Run {
        /// From create to end; `None` is what the options say for its medium.
        duration: Option<Duration>,
        /// `None` draws by the failure rate.
        ending: Option<Ending>,
    },
    /// It stays in one state for ever.
    Pinned(Pin),
}

/// How a running task ends.
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
    /// A video can still be cancelled.
    Pending,
    /// With this progress, 0 to 100.
    Processing(u8),
    /// Ended, with a result.
    Completed,
    /// Ended, with an error.
    Failed,
    /// Ended on request: failed, and marked as cancelled.
    Cancelled,
    /// Answers 404, as a task does whose time is over.
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
