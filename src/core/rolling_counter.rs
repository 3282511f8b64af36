//! Owns the count of something that happens: in all, and second by second for the last two minutes.
//!
//! Plain atomics: whoever counts takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// How many seconds are told.
pub const SPAN: u64 = 120;
/// How many are held: a few more, so that no second is told while it is overwritten.
const HELD: u64 = 128;

/// One kind of event.
#[derive(Debug)]
pub struct RollingCounter {
    start: Instant,
    total: AtomicU64,
    /// Each holds the number of its second above, and the count of that second below.
    seconds: Box<[AtomicU64]>,
}

impl RollingCounter {
    /// Nothing has happened yet.
    pub fn new(now: Instant) -> Self {
        Self { start: now, total: AtomicU64::new(0), seconds: (0..HELD).map(|_| AtomicU64::new(0)).collect() }
    }

    /// It happens.
    pub fn add(&self, now: Instant) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let second = self.second(now);
        let count = |held: u64| if held >> 32 == second { held + 1 } else { (second << 32) + 1 };
        if let Some(slot) = self.slot(second) {
            // The closure always has an answer, so this cannot fail.
            let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(count(held)));
        }
    }

    /// How often it has happened.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// How often in each of the last [`SPAN`] whole seconds, the latest last.
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
        // The place of second 3 is used again.
        counter.add(at(131.0));
        assert_eq!(counter.seconds(at(132.0))[119], 1);
        assert_eq!(counter.total(), 7);
    }
}
