//! Owns the clocks of a running task: its age, the time since it left the queue, and its progress. Each has tables of
//! its own, and the one that has foretold looks best plans the next.

use tokio::time::{Duration, Instant};

use super::bins;
use super::estimate::{Estimate, LastTold};
use super::model_id::ModelId;
use crate::core::snapshot::Snapshot;

/// The number of clocks.
pub(super) const CLOCKS: usize = 3;
/// The names of the clocks, in their order.
pub const CLOCK_NAMES: [&str; CLOCKS] = ["age", "run", "progress"];

/// No clock shows more, in its unit: a year.
const MOST: f64 = 86_400.0 * 365.0;
/// Less progress tells nothing of the speed, in percent.
const LEAST_PROGRESS: f64 = 3.0;
/// From here on progress has a table of its own: it often stands still before the end, in percent.
const LATE_PROGRESS: f64 = 90.0;
/// The least that is left of a task, whatever it says, in percent.
const LEAST_LEFT: f64 = 0.5;
/// The time that a task would take at the speed of its progress shows as so much on the clock.
const PROGRESS_SCALE: f64 = 32.0;
const SHORTEST_UNIT: f64 = 1e-3;

/// A kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By age since the creation that answers tell.
    Created,
    /// By age since the first look.
    Seen,
    /// By the time since the first change of the status word.
    Run,
    /// By progress, of tasks that are not nearly done.
    Early,
    /// By progress, of tasks that are.
    Late,
}

/// The number of kinds.
pub(super) const KINDS: usize = 5;

/// The reading of one clock of a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) kind: Kind,
    /// At the last look.
    pub(super) from: f64,
    /// At the time asked about.
    pub(super) to: f64,
    /// The seconds of one unit of the clock.
    pub(super) unit: f64,
}

/// The memory of a task that runs, from one look to the next.
#[derive(Debug, Clone)]
pub struct Track {
    pub(super) model: Option<ModelId>,
    /// The time of the gateway's first answer about the task.
    first_seen: Instant,
    /// Its age then, by the creation that the answer told.
    head_start: Option<f64>,
    /// The time of the last look.
    running: Instant,
    run_since: Option<Instant>,
    progress: Option<Progress>,
    /// The clock that planned the next look, and the price then.
    pub(super) planned_by: usize,
    /// When the task is likely to end.
    pub estimate: Option<Estimate>,
    pub(super) last_told: Option<LastTold>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    unit: f64,
    is_late: bool,
}

impl Track {
    /// The track after a look that found the task running. `word` is its status word at the look before.
    pub(super) fn after(
        before: Option<&Self>,
        model: Option<ModelId>,
        first_seen: Instant,
        word: Option<&str>,
        snapshot: &Snapshot,
    ) -> Self {
        let now = snapshot.fetched;
        let hints = snapshot.hints.as_deref();
        // The first answer decides, so that a task never changes from one table to the other.
        let head_start = match before {
            Some(before) => before.head_start,
            None => hints
                .and_then(|hints| hints.age)
                .map(|age| age.as_secs_f64() - seconds(first_seen, now))
                // A task that old when it is first seen, or a clock that far off, would be counted in the last bin.
                .filter(|age| *age < bins::start(bins::BINS - 1))
                .map(|age| age.max(0.0)),
        };
        let has_moved = word.is_some() && snapshot.word.is_some() && word != snapshot.word.as_deref();
        let run_since = before.and_then(|before| before.run_since).or(has_moved.then_some(now));
        let mut track = Self {
            model: model.or(before.and_then(|before| before.model)),
            first_seen,
            head_start,
            running: now,
            run_since,
            progress: None,
            planned_by: 0,
            estimate: None,
            last_told: before.and_then(|before| before.last_told),
        };
        let told = hints.and_then(|hints| hints.progress).map(f64::from);
        track.progress = told.filter(|told| (LEAST_PROGRESS..=100.0).contains(told)).map(|told| {
            let left = track.age(now) * (100.0 - told).max(LEAST_LEFT) / told;
            let unit = (left / PROGRESS_SCALE).clamp(SHORTEST_UNIT, MOST);
            Progress { unit, is_late: told >= LATE_PROGRESS }
        });
        track
    }

    /// The time of the last look.
    pub(super) fn running(&self) -> Instant {
        self.running
    }

    /// The reading of each clock that the task has.
    pub(super) fn clocks(&self, now: Instant) -> [Option<Shown>; CLOCKS] {
        let kind = if self.head_start.is_some() { Kind::Created } else { Kind::Seen };
        let age = Shown { kind, from: self.age(self.running), to: self.age(now), unit: 1.0 };
        let run = self.run_since.map(|since| {
            let (from, to) = (seconds(since, self.running), seconds(since, now));
            Shown { kind: Kind::Run, from, to, unit: 1.0 }
        });
        let progress = self.progress.map(|Progress { unit, is_late }| {
            let kind = if is_late { Kind::Late } else { Kind::Early };
            Shown { kind, from: 0.0, to: (seconds(self.running, now) / unit).min(MOST), unit }
        });
        [Some(age), run, progress]
    }

    fn age(&self, at: Instant) -> f64 {
        (self.head_start.unwrap_or(0.0) + seconds(self.first_seen, at)).min(MOST)
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).min(Duration::from_secs_f64(MOST)).as_secs_f64()
}
