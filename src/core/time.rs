//! Owns the arithmetic on durations and instants that more than one part needs.

use tokio::time::{Duration, Instant};

/// Whole seconds, rounded up, so that a wait in seconds is never too short.
pub fn seconds_up(span: Duration) -> u64 {
    span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0))
}

/// `start + span`, where `span` is cut to a year: an absurdly long setting could overflow the instant.
pub(super) fn later(start: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365);
    start + span.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_told_too_short() {
        let told = [0, 1, 999, 1000, 1001].map(|millis| seconds_up(Duration::from_millis(millis)));
        assert_eq!(told, [0, 1, 1, 1, 2]);
        assert_eq!(seconds_up(Duration::MAX), u64::MAX);
    }
}
