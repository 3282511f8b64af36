//! Owns the ledger, which the budget's lock guards: the buckets, the gate, and the places in flight. Each change is complete
//! before the lock is released.

use tokio::time::{Duration, Instant};

use super::bucket::Bucket;
use super::gate::{Change, Gate, Pass, Position};
use super::quota::{Heeded, Quota};
use super::readiness::Readiness;
use crate::core::failure::{Failure, Scope};
use crate::core::meter::Meter;
use crate::core::rolling_counter::RollingCounter;

/// A quota that slows the gateway down to this part of its rate is worth a word to operators, and a line in the log …
pub(super) const WORTH_A_LINE: f64 = 0.5;
/// … but not each time.
const REMINDER: Duration = Duration::from_secs(600);

/// The state of the budget.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) bucket: Bucket,
    /// This replica's part of the budget, which it uses while the shared tier does not answer.
    pub(super) part: Bucket,
    pub(super) gate: Gate,
    /// The part of a quota that this gateway uses; `None`: what the upstream tells is not heeded.
    pub(super) share: Option<f64>,
    pub(super) heeded: Option<Heeded>,
    /// When it was logged that a quota is short.
    pub(super) quota_told: Option<Instant>,
    pub(super) closed_since: Option<Instant>,
    pub(super) in_flight: usize,
    pub(super) max_in_flight: usize,
    pub(super) sent: RollingCounter,
    pub(super) meter: Meter,
}

impl Ledger {
    pub(super) fn note_sent(&mut self, now: Instant) {
        self.sent.add(now);
        self.meter.note(now);
    }

    pub(super) fn full_at(&self, now: Instant) -> Instant {
        let by_settings = self.bucket.full_at();
        self.heeded.as_ref().map_or(by_settings, |heeded| by_settings.max(heeded.full_at(now)))
    }

    pub(super) fn readiness(&self, now: Instant) -> Readiness {
        if self.in_flight >= self.max_in_flight {
            return Readiness::Busy;
        }
        let tokens = self.tokens_at(now, 0);
        let ready = match self.gate.position() {
            Position::Open => tokens,
            Position::Closed { until, .. } => tokens.max(until),
            Position::Probing { .. } => return Readiness::Busy,
        };
        if ready <= now { Readiness::Now } else { Readiness::At(ready) }
    }

    /// Keeps to these quotas. Returns the slower rate and its quota where that is worth a line in the log.
    pub(super) fn heed(&mut self, quotas: &[Quota], now: Instant) -> Option<(f64, Quota)> {
        let share = self.share.filter(|_| !quotas.is_empty())?;
        self.heeded = Heeded::new(quotas, share, &self.bucket, self.heeded.as_ref(), now);
        let heeded = self.heeded.as_ref()?;
        let per_minute = heeded.effective_per_minute(now)?;
        let is_slow = per_minute < self.bucket.effective_per_minute() * WORTH_A_LINE;
        let is_old = self.quota_told.is_none_or(|told| now.saturating_duration_since(told) >= REMINDER);
        if !is_slow || !is_old {
            return None;
        }
        self.quota_told = Some(now);
        Some((per_minute, heeded.quota))
    }

    /// The time at which the request behind `ahead` others has a token.
    pub(super) fn tokens_at(&self, now: Instant, ahead: u32) -> Instant {
        let by_quota = self.heeded.as_ref().map_or(now, |heeded| heeded.ready_at(now, ahead));
        self.bucket.ready_at(now, ahead).max(by_quota)
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Pass> {
        if self.in_flight >= self.max_in_flight
            || !self.gate.admits(now)
            || self.heeded.as_ref().is_some_and(|heeded| heeded.ready_at(now, 0) > now)
            || !self.bucket.take(now)
        {
            return None;
        }
        if let Some(heeded) = &mut self.heeded {
            heeded.take(now);
        }
        self.in_flight += 1;
        Some(self.gate.pass())
    }

    /// Applies a change of the gate to the buckets.
    pub(super) fn heed_gate(&mut self, change: Change, now: Instant) {
        let is_slower = matches!(change, Change::Closed { because: Failure::RateLimited { .. }, .. });
        match change {
            Change::None => return,
            Change::Closed { .. } => {
                self.closed_since.get_or_insert(now);
            }
            Change::Opened { .. } => self.closed_since = None,
        }
        for bucket in [&mut self.bucket, &mut self.part] {
            if is_slower {
                bucket.slow_down(now);
            }
            bucket.empty(now);
        }
    }

    /// The estimated time that `ahead` requests take behind a gate that is about to open. An upstream that is
    /// down is asked once a second, and may be back at any moment.
    pub(super) fn behind(&self, because: Failure, ahead: u32) -> Duration {
        const OUTAGE: Duration = Duration::from_secs(30);
        match because.scope() {
            Scope::Service => Duration::from_secs(ahead.into()).min(OUTAGE),
            Scope::Account | Scope::Task => self.bucket.interval().saturating_mul(ahead),
        }
    }
}
