//! Owns the backoff of one task: its last failure, and the time until which it is not requested again.

use tokio::time::{Duration, Instant};

use crate::core::failure::Failure;

/// The longest pause between two requests.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A failure that comes so long after the end of the last backoff counts as the first.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The pause of a task after a failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    /// The failure.
    pub(super) failure: Failure,
    /// The time until which the task is not requested.
    pub(super) until: Instant,
    in_a_row: u32,
}

impl Backoff {
    /// The backoff after another failure, with pauses of 1, 2, 4 … 30 s, or the wait that the upstream asks for where
    /// that is longer.
    pub(super) fn after(before: Option<Self>, failure: Failure, now: Instant) -> Self {
        let in_a_row = before
            .filter(|before| now.saturating_duration_since(before.until) < FORGOTTEN)
            .map_or(0, |before| before.in_a_row.saturating_add(1));
        let pause = Duration::from_secs(1 << in_a_row.min(5)).min(MAX_PAUSE);
        let pause = pause.max(failure.retry_after().unwrap_or_default());
        Self { failure, until: now + pause, in_a_row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_thirty_seconds_and_are_forgotten() {
        let mut now = Instant::now();
        let mut backoff = None;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let next = Backoff::after(backoff, Failure::Unreachable, now);
            pauses.push((next.until - now).as_secs());
            now = next.until;
            backoff = Some(next);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        let busy = Failure::ServerError { status: 503, retry_after: Some(Duration::from_secs(90)) };
        assert_eq!((Backoff::after(backoff, busy, now).until - now).as_secs(), 90);
        let later = now + FORGOTTEN;
        assert_eq!((Backoff::after(backoff, Failure::TimedOut, later).until - later).as_secs(), 1);
    }
}
