//! Owns the refresh interval of a live task, a pure function of the task's age.

use tokio::time::Duration;

/// The bounds of the interval between two refreshes of a live task.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// The shortest interval: a younger state is always fresh.
    pub fresh_for: Duration,
    /// The longest interval.
    pub max_interval: Duration,
}

impl Pacing {
    /// The interval for a task first seen `age` ago.
    ///
    /// The interval is a twentieth of the age: a task that has run for long seldom ends within the next
    /// second, and an answer that is 5 % late does no harm. When the budget is short, the schedule stretches
    /// the interval by itself, because a key that is due waits for its turn.
    pub fn interval(&self, age: Duration) -> Duration {
        (age / 20).max(self.fresh_for).min(self.max_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_of_the_age_within_the_bounds() {
        let pacing = Pacing { fresh_for: Duration::from_secs(2), max_interval: Duration::from_secs(5) };
        let seconds = |age| pacing.interval(Duration::from_secs(age)).as_secs_f64();
        assert_eq!(
            [0, 40, 41, 80, 100, 100_000].map(seconds),
            [2.0, 2.0, 2.05, 4.0, 5.0, 5.0],
            "young tasks at fresh_for, old ones at max_interval"
        );
    }
}
