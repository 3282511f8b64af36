//! Owns the token bucket of the API key, and its slowdown after a 429.
//!
//! The bucket is the generic cell rate algorithm (GCRA, ITU-T I.371): one instant, the theoretical arrival
//! time, stands for the fill level. In any window of t seconds at most `burst + rate·t` requests pass.

use tokio::time::{Duration, Instant};

use crate::core::time::later;

/// The factor by which one 429 reduces the rate.
const SLOWER: f64 = 0.7;
/// The part of the configured rate that a minute without a 429 restores.
const RECOVERY: f64 = 0.05;
/// The lower limit of the rate, as a part of the configured rate: requests must not be slow for long after an
/// outage.
const FLOOR: f64 = 0.1;
/// The longest interval between two tokens.
const LONGEST: Duration = Duration::from_secs(86_400);
const QUIET: Duration = Duration::from_secs(60);

/// The rate limit of the key.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests a minute: the limit of the key times `budget.share`.
    pub per_minute: f64,
    /// The number of requests that may start at once.
    pub burst: u32,
}

/// A token bucket whose rate falls with each 429 and recovers.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    /// The part of the configured rate in force, 0.1 to 1.
    factor: f64,
    /// The start of the current minute without a 429.
    quiet_since: Instant,
    /// The theoretical arrival time. The bucket is full unless this lies ahead.
    arrival: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, factor: 1.0, quiet_since: now, arrival: now }
    }

    /// The configured rate.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// The effective rate, in requests a minute.
    pub fn effective_per_minute(&self) -> f64 {
        self.rate.per_minute * self.factor
    }

    /// The configured rate, in requests a minute.
    pub fn configured_per_minute(&self) -> f64 {
        self.rate.per_minute
    }

    /// The time in which one token is refilled.
    pub fn interval(&self) -> Duration {
        // Bounded for every setting: an endless interval could not be added to an instant.
        Duration::try_from_secs_f64(60.0 / self.effective_per_minute()).unwrap_or(LONGEST).min(LONGEST)
    }

    /// The time at which the request behind `ahead` others gets a token.
    pub fn ready_at(&self, now: Instant, ahead: u32) -> Instant {
        let tolerance = self.interval().saturating_mul(self.rate.burst.saturating_sub(1));
        let owed = self.arrival.saturating_duration_since(now);
        let arrival = owed.saturating_add(self.interval().saturating_mul(ahead));
        // A request waits only for the part beyond the tolerance.
        later(now, arrival.saturating_sub(tolerance))
    }

    /// Takes a token, if there is one. Returns whether there was.
    pub fn take(&mut self, now: Instant) -> bool {
        self.recover(now);
        let ready = self.ready_at(now, 0) <= now;
        if ready {
            self.arrival = self.arrival.max(now) + self.interval();
        }
        ready
    }

    /// Returns a token that was not used.
    pub fn give_back(&mut self) {
        self.arrival = self.arrival.checked_sub(self.interval()).unwrap_or(self.arrival);
    }

    /// Gives no token before `until`.
    pub fn wait_until(&mut self, until: Instant) {
        let tolerance = self.interval().saturating_mul(self.rate.burst.saturating_sub(1));
        self.arrival = self.arrival.max(later(until, tolerance));
    }

    /// The number of whole tokens in the bucket.
    pub fn tokens(&self, now: Instant) -> u32 {
        let used = self.arrival.saturating_duration_since(now).div_duration_f64(self.interval());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and burst")]
        let left = (f64::from(self.rate.burst) - used + 1e-9).max(0.0) as u32;
        left
    }

    /// The time at which the bucket is full, unless tokens are taken. It may lie in the past.
    pub fn full_at(&self) -> Instant {
        self.arrival
    }

    /// Empties the bucket: the next token is one interval ahead.
    pub fn empty(&mut self, now: Instant) {
        self.arrival = self.arrival.max(later(now, self.interval().saturating_mul(self.rate.burst)));
    }

    /// Reduces the rate after a 429.
    pub fn slow_down(&mut self, now: Instant) {
        self.recover(now);
        self.set_factor((self.factor * SLOWER).max(FLOOR), now);
        self.quiet_since = now;
    }

    /// Sets another rate. Used tokens stay used.
    pub fn set_rate(&mut self, rate: Rate, now: Instant) {
        let used = self.arrival.saturating_duration_since(now).div_duration_f64(self.interval());
        self.rate = rate;
        let owed = self.interval().as_secs_f64() * used.min(f64::from(rate.burst));
        self.arrival = later(now, Duration::try_from_secs_f64(owed).unwrap_or(Duration::MAX));
    }

    /// A bucket of this rate in which as much is used.
    pub fn at_rate(&self, rate: Rate, now: Instant) -> Self {
        let mut bucket =
            Self { rate: self.rate, factor: self.factor, quiet_since: now, arrival: self.arrival };
        bucket.set_factor(1.0, now);
        bucket.set_rate(rate, now);
        bucket
    }

    /// Restores 5 % of the configured rate for each minute without a 429.
    fn recover(&mut self, now: Instant) {
        while self.factor < 1.0 && now.saturating_duration_since(self.quiet_since) >= QUIET {
            self.set_factor((self.factor + RECOVERY).min(1.0), now);
            self.quiet_since += QUIET;
        }
    }

    /// Changes the factor and keeps the tokens: the arrival time is scaled to the new interval.
    fn set_factor(&mut self, factor: f64, now: Instant) {
        let used = self.arrival.saturating_duration_since(now).div_duration_f64(self.interval());
        self.factor = factor;
        self.arrival = later(
            now,
            Duration::try_from_secs_f64(self.interval().as_secs_f64() * used).unwrap_or(Duration::MAX),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { per_minute: 60.0, burst: 3 };

    fn seconds(n: f64) -> Duration {
        Duration::from_secs_f64(n)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        let taken: Vec<bool> = (0..5).map(|_| bucket.take(start)).collect();
        assert_eq!(taken, [true, true, true, false, false]);
        assert_eq!(bucket.ready_at(start, 0), start + seconds(1.0));
        assert_eq!(bucket.ready_at(start, 4), start + seconds(5.0));
        assert!(!bucket.take(start + seconds(0.999)));
        assert!(bucket.take(start + seconds(1.0)));
    }

    #[test]
    fn emptied_it_gives_nothing_for_an_interval() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        assert_eq!(bucket.tokens(start), 3);
        bucket.empty(start);
        assert_eq!(bucket.tokens(start), 0);
        assert!(!bucket.take(start + seconds(0.9)));
        assert!(bucket.take(start + seconds(1.0)));
    }

    #[test]
    fn a_429_costs_three_tenths_and_a_quiet_minute_gives_back_a_twentieth() {
        let start = Instant::now();
        let mut bucket = Bucket::new(RATE, start);
        bucket.slow_down(start);
        assert!((bucket.effective_per_minute() - 42.0).abs() < 1e-6);
        bucket.take(start + seconds(59.9));
        assert!((bucket.effective_per_minute() - 42.0).abs() < 1e-6, "the minute is not over");
        bucket.take(start + seconds(60.0));
        assert!((bucket.effective_per_minute() - 45.0).abs() < 1e-6);
        bucket.take(start + seconds(3600.0));
        assert!((bucket.effective_per_minute() - 60.0).abs() < 1e-6, "never above the setting");
        for _ in 0..100 {
            bucket.slow_down(start + seconds(3600.0));
        }
        assert!((bucket.effective_per_minute() - 6.0).abs() < 1e-6, "never below a tenth");
    }

    #[test]
    fn no_setting_makes_it_panic() {
        for (per_minute, burst) in
            [(1e-300, 1), (1e-300, u32::MAX), (1e300, u32::MAX), (f64::MIN_POSITIVE, 7)]
        {
            let start = Instant::now();
            let mut bucket = Bucket::new(Rate { per_minute, burst }, start);
            assert!(bucket.take(start), "the first is free");
            bucket.slow_down(start);
            bucket.empty(start);
            bucket.ready_at(start, u32::MAX);
            bucket.tokens(start);
            bucket.take(start + Duration::from_secs(1));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        /// Whenever requests come, at most burst + rate·t of them pass in any window of t seconds.
        #[test]
        fn no_window_is_overfull(
            per_minute in 1.0..5000.0f64,
            burst in 1u32..50,
            steps in prop::collection::vec((0u64..2_000, 0u8..12), 1..80),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut bucket = Bucket::new(Rate { per_minute, burst }, now);
            let mut taken: Vec<Duration> = Vec::new();
            for (millis, what) in steps {
                now += Duration::from_millis(millis);
                match what {
                    0 => bucket.empty(now),
                    1 => bucket.slow_down(now),
                    _ => while bucket.take(now) { taken.push(now - start) },
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let window = (*to).checked_sub(*from).unwrap().as_secs_f64();
                    let count = (last - first + 1) as f64;
                    prop_assert!(count <= f64::from(burst) + window * per_minute / 60.0 + 1e-3);
                }
            }
        }
    }
}
