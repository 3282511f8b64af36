//! Owns the estimate for people: when a task is likely to end. It is absent rather than made up.

use tokio::time::{Duration, Instant};

use super::hazard::Hazard;

/// The ends that must have been seen before anything is told.
const ENOUGH_ENDS: u32 = 30;
/// Within so long …
const STEADY: Duration = Duration::from_secs(60);
/// … a told time grows at most by this factor.
const BACKWARDS: f64 = 1.2;

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

/// The shortest time that was computed in the last minute, which later ones may exceed by little.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    at: Instant,
    remaining: f64,
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
    /// The estimate for a task whose clock shows `age`, in a unit of `unit` seconds, where `ends` of its kind are known.
    /// `anchor` is kept for the next one.
    pub(super) fn of(
        hazard: Hazard<'_>,
        ends: u32,
        age: f64,
        unit: f64,
        anchor: &mut Option<Anchor>,
        now: Instant,
    ) -> Option<Self> {
        if ends < ENOUGH_ENDS {
            return None;
        }
        let after = |left: f64| hazard.remaining(age, left).map(|wait| wait * unit);
        let (low, median, high) = (after(0.8)?, after(0.5)?, after(0.2)?);
        let is_useful = high - low <= median && high.is_finite();
        let known = anchor.filter(|anchor| now.saturating_duration_since(anchor.at) < STEADY);
        let most = known.map_or(f64::INFINITY, |anchor| (anchor.remaining * BACKWARDS).max(1.0));
        if !is_useful || low > most {
            return None;
        }
        let remaining = median.min(most);
        if known.is_none_or(|anchor| remaining <= anchor.remaining) {
            *anchor = Some(Anchor { at: now, remaining });
        }
        Some(Self { at: now, remaining, low, high })
    }

    /// The estimate in whole seconds from `now`.
    pub fn told(&self, now: Instant) -> Told {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 0, and finite")]
        let left = |seconds: f64| (seconds - passed).max(0.0).round() as u64;
        Told { remaining: left(self.remaining), low: left(self.low), high: left(self.high) }
    }
}
