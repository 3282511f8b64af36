//! Owns the estimate for people: when a task is likely to end. It is absent rather than made up.

use tokio::time::{Duration, Instant};

use super::hazard::Hazard;

/// The ends that must have been seen before anything is told.
const ENOUGH_ENDS: u32 = 30;
/// For so long what was told binds what is told next …
const STEADY: Duration = Duration::from_secs(60);
/// … which is at most so many times what is left of it.
const BACKWARDS: f64 = 1.2;
/// Less is not told apart, in seconds.
const LEAST: f64 = 1.0;

/// The time that a task is likely to run on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The time from which it counts.
    pub at: Instant,
    /// Half of such tasks end before, in seconds.
    pub remaining: f64,
    /// A fifth of them ends before, in seconds.
    pub low: f64,
    /// A fifth of them ends after, in seconds.
    pub high: f64,
}

/// The estimates of a task of which the next one is the continuation.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastTold {
    /// The one with the earliest end in the last minute.
    earliest: End,
    latest: End,
}

/// The end of a task, as it was told at one moment.
#[derive(Debug, Clone, Copy)]
struct End {
    told: Instant,
    /// Seconds from then on.
    remaining: f64,
}

impl End {
    fn left(&self, now: Instant) -> f64 {
        self.remaining - now.saturating_duration_since(self.told).as_secs_f64()
    }

    fn binds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.told) < STEADY
    }
}

impl LastTold {
    /// The one that binds at present.
    fn binding(self, now: Instant) -> Option<End> {
        [self.earliest, self.latest].into_iter().find(|end| end.binds(now))
    }
}

/// An estimate as it is told: whole seconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The median.
    pub remaining: u64,
    /// The 20 % point.
    pub low: u64,
    /// The 80 % point.
    pub high: u64,
}

impl Estimate {
    /// The estimate for a task whose clock shows `age`, in a unit of `unit` seconds, where `found` ends of its kind are
    /// known. `last` is kept for the next one.
    pub(super) fn of(
        hazard: Hazard<'_>,
        found: u32,
        (age, unit): (f64, f64),
        last: &mut Option<LastTold>,
        now: Instant,
    ) -> Option<Self> {
        if found < ENOUGH_ENDS {
            return None;
        }
        let after = |left: f64| hazard.remaining(age, left).map(|wait| wait * unit);
        let (low, median, high) = (after(0.8)?, after(0.5)?, after(0.2)?);
        let is_useful = high - low <= median && high.is_finite();
        let binding = last.and_then(|last| last.binding(now));
        let most = binding.map_or(f64::INFINITY, |end| (end.left(now) * BACKWARDS).max(LEAST));
        if !is_useful || low > most {
            return None;
        }
        let remaining = median.min(most);
        let latest = End { told: now, remaining };
        let earliest = binding.filter(|end| end.left(now) < remaining).unwrap_or(latest);
        *last = Some(LastTold { earliest, latest });
        Some(Self { at: now, remaining, low, high })
    }

    /// The estimate in whole seconds from `now`. `None`: the task has lasted longer than was foreseen.
    pub fn told(&self, now: Instant) -> Option<Told> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 0, and finite")]
        let left = |seconds: f64| (seconds - passed).max(0.0).round() as u64;
        (passed < self.high).then(|| Told {
            remaining: left(self.remaining),
            low: left(self.low),
            high: left(self.high),
        })
    }
}
