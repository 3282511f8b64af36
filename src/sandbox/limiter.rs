//! Owns the rate limit: requests a minute of each key.
//!
//! It is a fixed window, which opens with a key's first request and closes a minute later. Refused requests
//! do not count, so a client that waits for `Retry-After` is admitted.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// The keys that the sandbox knows. Requests with others are refused uncounted, which bounds the limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Accepted,
    Expired,
    Empty,
    Forbidden,
}

#[derive(Debug)]
pub(super) struct Limiter {
    /// 0 is no limit.
    limit: u32,
    windows: HashMap<Key, Window>,
}

#[derive(Debug)]
struct Window {
    opened: Instant,
    /// Unix seconds, for `X-RateLimit-Reset`, which must not change within a window.
    resets: i64,
    used: u32,
}

/// The limiter's decision about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    Unlimited,
    Granted(Quota),
    /// With the seconds until the window closes, rounded up, at least one.
    Refused(Quota, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    pub limit: u32,
    pub remaining: u32,
    /// End of the window, in Unix seconds.
    pub resets: i64,
}

impl Limiter {
    pub fn new(limit: u32) -> Self {
        Self { limit, windows: HashMap::new() }
    }

    /// Counts one request at `now`; `wall` is the same moment on the wall clock.
    pub fn take(&mut self, key: Key, now: Instant, wall: Timestamp) -> Share {
        let limit = self.limit;
        if limit == 0 {
            return Share::Unlimited;
        }
        let open = || Window {
            opened: now,
            resets: wall.as_second().saturating_add_unsigned(WINDOW.as_secs()),
            used: 0,
        };
        let window = self.windows.entry(key).or_insert_with(open);
        if now.saturating_duration_since(window.opened) >= WINDOW {
            *window = open();
        }
        let resets = window.resets;
        if window.used >= limit {
            let left = WINDOW.saturating_sub(now.saturating_duration_since(window.opened));
            return Share::Refused(Quota { limit, remaining: 0, resets }, whole_seconds(left));
        }
        window.used += 1;
        Share::Granted(Quota { limit, remaining: limit - window.used, resets })
    }
}

/// Rounded up, so that a client that waits this long does not come too early.
fn whole_seconds(left: Duration) -> u64 {
    crate::core::time::seconds_up(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_spent_and_opens_anew() {
        let (start, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let mut limiter = Limiter::new(2);
        let mut take = |key, ms| limiter.take(key, start + Duration::from_millis(ms), wall);
        let quota = |remaining| Quota { limit: 2, remaining, resets: 60 };

        assert_eq!(take(Key::Accepted, 0), Share::Granted(quota(1)));
        assert_eq!(take(Key::Accepted, 10), Share::Granted(quota(0)));
        assert_eq!(take(Key::Accepted, 10), Share::Refused(quota(0), 60));
        assert_eq!(take(Key::Accepted, 59_999), Share::Refused(quota(0), 1));
        // Another key has a window of its own.
        assert_eq!(take(Key::Forbidden, 59_999), Share::Granted(quota(1)));
        assert_eq!(take(Key::Accepted, 60_000), Share::Granted(quota(1)));
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limiter = Limiter::new(0);
        for _ in 0..5 {
            assert_eq!(limiter.take(Key::Accepted, Instant::now(), Timestamp::UNIX_EPOCH), Share::Unlimited);
        }
    }
}
