//! Owns a counter of events: the total, and the count of each second of the last two minutes.
//!
//! It consists of plain atomics, so that counting takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// The number of seconds whose counts can be read.
pub const SPAN: u64 = 120;
/// The number of seconds held: a few more, so that no second is read while it is overwritten.
const HELD: u64 = 128;

/// The counter of one kind of event.
#[derive(Debug)]
pub struct RollingCounter {
    start: Instant,
    total: AtomicU64,
    /// Each slot holds the number of its second in the upper 32 bits, and the count of that second in the
    /// lower 32.
    seconds: Box<[AtomicU64]>,
}

impl RollingCounter {
    /// A counter without events.
    pub fn new(now: Instant) -> Self {
        Self { start: now, total: AtomicU64::new(0), seconds: (0..HELD).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts one event.
    pub fn add(&self, now: Instant) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let second = self.second(now);
        let count = |held: u64| if held >> 32 == second { held + 1 } else { (second << 32) + 1 };
        if let Some(slot) = self.slot(second) {
            // The closure always returns `Some`, so this cannot fail.
            let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(count(held)));
        }
    }

    /// The number of events so far.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// The number of events in each of the last [`SPAN`] whole seconds, the latest last.
    pub fn seconds(&self, now: Instant) -> Vec<u64> {
        let current = self.second(now);
        let count = |back: u64| {
            let second = current.checked_sub(back)?;
            let held = self.slot(second)?.load(Ordering::Relaxed);
            (held >> 32 == second).then_some(held & u64::from(u32::MAX))
        };
        (1..=SPAN).rev().map(|back| count(back).unwrap_or(0)).collect()
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    fn slot(&self, second: u64) -> Option<&AtomicU64> {
        self.seconds.get(usize::try_from(second % HELD).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Duration;

    #[test]
    fn each_second_is_told_for_two_minutes() {
        let start = Instant::now();
        let counter = RollingCounter::new(start);
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        for second in [0.0, 0.9, 1.0, 3.5, 3.6, 3.7] {
            counter.add(at(second));
        }
        assert_eq!(counter.seconds(at(3.9))[116..], [0, 2, 1, 0], "the second under way is not told");
        assert_eq!(counter.seconds(at(4.0))[116..], [2, 1, 0, 3]);
        assert_eq!(counter.seconds(at(123.0))[..2], [3, 0]);
        assert_eq!(counter.seconds(at(124.0)), [0; 120]);
        // Second 131 uses the slot of second 3 again.
        counter.add(at(131.0));
        assert_eq!(counter.seconds(at(132.0))[119], 1);
        assert_eq!(counter.total(), 7);
    }
}
