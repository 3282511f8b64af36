//! Owns the state of one task at a given moment.
//!
//! Nothing runs in the background: each read computes the state from the time since the create. Progress
//! moves in whole percents, so two reads within one percent see the same state.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::medium::Medium;
use super::options::Options;
use super::plan::{Course, Ending, Pin, Plan};
use super::refusal::Refusal;

/// One part in this many of a run is pending: long enough to try a cancellation by hand.
const PENDING_PART: u32 = 5;

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub id: Arc<str>,
    pub medium: Medium,
    pub prompt: Arc<str>,
    pub model: Arc<str>,
    /// Time of the create, in Unix seconds.
    pub created: i64,
    started: Instant,
    /// The age of the task at `started`.
    head_start: Duration,
    fate: Fate,
}

/// A [`Course`] with its duration and ending decided, or a cancellation.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Run { duration: Duration, ending: Ending },
    Pinned(Pin),
    Cancelled { after: Duration },
}

/// A phase, and its beginning as the time since the create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub phase: Phase,
    pub since: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Processing(u8),
    Completed,
    Failed,
    Cancelled,
}

impl State {
    /// The state of a task just created.
    pub const NEW: Self = Self { phase: Phase::Pending, since: Duration::ZERO };

    /// The state of a pinned task; `None` if it cannot be read.
    fn pinned(pin: Pin) -> Option<Self> {
        let phase = match pin {
            Pin::Pending => Phase::Pending,
            Pin::Processing(percent) => Phase::Processing(percent),
            Pin::Completed => Phase::Completed,
            Pin::Failed => Phase::Failed,
            Pin::Cancelled => Phase::Cancelled,
            Pin::Expired => return None,
        };
        Some(Self { phase, since: Duration::ZERO })
    }

    fn of_run(age: Duration, duration: Duration, ending: Ending) -> Self {
        if age >= duration {
            let phase = match ending {
                Ending::Completed => Phase::Completed,
                Ending::Failed => Phase::Failed,
            };
            return Self { phase, since: duration };
        }
        let pending = duration / PENDING_PART;
        let Some(worked) = age.checked_sub(pending) else { return Self::NEW };
        let work = duration.saturating_sub(pending);
        let percent = worked.as_nanos().saturating_mul(100) / work.as_nanos().max(1);
        // It is below 100: `age` is less than `duration`.
        let percent = u8::try_from(percent).unwrap_or(99).min(99);
        let since = pending.saturating_add(work.saturating_mul(percent.into()) / 100);
        Self { phase: Phase::Processing(percent), since }
    }
}

impl Task {
    /// Starts a task at `now`; `wall` is the same moment on the wall clock.
    pub fn start(
        id: String,
        medium: Medium,
        plan: Plan,
        options: &Options,
        now: Instant,
        wall: Timestamp,
    ) -> Self {
        let model = plan.model.unwrap_or_else(|| format!("sandbox-{}", medium.name()));
        let drawn = || options.durations.draw(medium, &model, options.duration);
        let fate = match plan.course {
            Course::Pinned(pin) => Fate::Pinned(pin),
            Course::Run { duration, ending } => Fate::Run {
                duration: duration.unwrap_or_else(drawn),
                ending: ending.unwrap_or_else(|| draw(options.failure_rate)),
            },
        };
        Self {
            id: id.into(),
            medium,
            prompt: plan.prompt.into(),
            model: model.into(),
            created: wall.as_second().saturating_sub_unsigned(plan.elapsed.as_secs()),
            started: now,
            head_start: plan.elapsed,
            fate,
        }
    }

    /// The state at `now`; `None` if the task is not readable yet, or no longer.
    pub fn state(&self, now: Instant, options: &Options) -> Option<State> {
        let age = self.age(now);
        if age < options.not_found_for {
            return None;
        }
        let (state, end) = match self.fate {
            Fate::Run { duration, ending } => (State::of_run(age, duration, ending), duration),
            Fate::Cancelled { after } => (State { phase: Phase::Cancelled, since: after }, after),
            Fate::Pinned(pin) => return State::pinned(pin),
        };
        (age < end.saturating_add(options.expire_after)).then_some(state)
    }

    /// The state in the answer to the create: the pinned one, else a new task's.
    pub fn first_state(&self) -> State {
        match self.fate {
            Fate::Pinned(pin) => State::pinned(pin).unwrap_or(State::NEW),
            Fate::Run { .. } | Fate::Cancelled { .. } => State::NEW,
        }
    }

    /// Cancels a pending video and returns its new state.
    pub fn cancel(&mut self, now: Instant, options: &Options) -> Result<State, Refusal> {
        let state = self.state(now, options).ok_or(Refusal::TaskNotFound)?;
        if self.medium != Medium::Video {
            return Err(Refusal::CancelUnsupported);
        }
        if state.phase != Phase::Pending {
            return Err(Refusal::NotCancellable);
        }
        let after = self.age(now);
        self.fate = Fate::Cancelled { after };
        Ok(State { phase: Phase::Cancelled, since: after })
    }

    /// The moment at `offset` from the create, in Unix seconds.
    pub fn at(&self, offset: Duration) -> i64 {
        self.created.saturating_add_unsigned(offset.as_secs())
    }

    pub fn poll_url(&self) -> String {
        format!("/v1/tasks/{}", self.id)
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started).saturating_add(self.head_start)
    }
}

fn draw(failure_rate: f64) -> Ending {
    if fastrand::f64() < failure_rate { Ending::Failed } else { Ending::Completed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn phase_at(age: Duration) -> Phase {
        State::of_run(age, 100 * S, Ending::Completed).phase
    }

    #[test]
    fn a_run_is_pending_then_processing_then_over() {
        assert_eq!(phase_at(Duration::ZERO), Phase::Pending);
        assert_eq!(phase_at(19 * S), Phase::Pending);
        assert_eq!(phase_at(20 * S), Phase::Processing(0));
        assert_eq!(phase_at(60 * S), Phase::Processing(50));
        assert_eq!(phase_at((100 * S).checked_sub(Duration::from_nanos(1)).unwrap()), Phase::Processing(99));
        assert_eq!(phase_at(100 * S), Phase::Completed);
        assert_eq!(State::of_run(101 * S, 100 * S, Ending::Failed).phase, Phase::Failed);
    }

    #[test]
    fn the_state_changes_with_the_percent_and_not_between() {
        // One percent of the work takes 0.8 s here: from 60.0 s to 60.8 s, and `since` is its start.
        let at = |age| State::of_run(age, 100 * S, Ending::Completed);
        assert_eq!(at(60 * S), at(60 * S + Duration::from_millis(799)));
        assert_ne!(at(60 * S), at(60 * S + Duration::from_millis(800)));
        assert_eq!(at(60 * S).since, 60 * S);
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let ended = State::of_run(Duration::ZERO, Duration::ZERO, Ending::Completed);
        assert_eq!(ended.phase, Phase::Completed);
        let endless = State::of_run(Duration::MAX / 2, Duration::MAX, Ending::Completed);
        assert_eq!(endless.phase, Phase::Processing(37));
        let short = State::of_run(Duration::from_nanos(2), Duration::from_nanos(3), Ending::Completed);
        assert_eq!(short.phase, Phase::Processing(66));
    }
}
