//! Owns the measuring of rates: events a second, over the last half a minute or so.

use tokio::time::Instant;

/// The time over which a rate is measured, in seconds: an event counts for a third after so long.
const MEMORY: f64 = 30.0;

/// The meter of one kind of events.
#[derive(Debug)]
pub(super) struct Meter {
    /// Events a second at `last`.
    rate: f64,
    began: Instant,
    /// The time of the last event.
    pub(super) last: Instant,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { rate: 0.0, began: now, last: now }
    }

    pub(super) fn note(&mut self, now: Instant) {
        self.rate = self.decayed(now) + 1.0 / MEMORY;
        self.last = self.last.max(now);
    }

    pub(super) fn rate(&self, now: Instant) -> f64 {
        // A young meter has seen less than its memory holds.
        let seen = -(-now.saturating_duration_since(self.began).as_secs_f64() / MEMORY).exp_m1();
        self.decayed(now) / seen.max(0.05)
    }

    fn decayed(&self, now: Instant) -> f64 {
        self.rate * (-now.saturating_duration_since(self.last).as_secs_f64() / MEMORY).exp()
    }
}
