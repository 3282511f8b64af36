//! Owns the relation of this process' clock to that of Redis, at one moment. The clocks of hosts play no part.

use tokio::time::{Duration, Instant};

/// One moment on both clocks. Redis' time is in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    here: Instant,
    there: u64,
}

impl Clock {
    /// Redis has told the time `there` in an answer that has just arrived.
    pub(super) fn told(there: u64) -> Self {
        Self { here: Instant::now(), there }
    }

    /// The time of Redis at an instant of this process.
    pub(super) fn at(&self, instant: Instant) -> u64 {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        match instant.checked_duration_since(self.here) {
            Some(ahead) => self.there.saturating_add(micros(ahead)),
            None => self.there.saturating_sub(micros(self.here.saturating_duration_since(instant))),
        }
    }

    /// The instant of this process at a time of Redis, not in the future.
    pub(super) fn then(&self, time: u64) -> Instant {
        let back = Duration::from_micros(self.there.saturating_sub(time));
        self.here.checked_sub(back).unwrap_or(self.here)
    }
}
