//! Owns the state of the listener: its subscription, and when it looks next.

use tokio::time::Instant;

use super::subscription::Subscription;

/// The state of the listener. Only one task listens.
pub(super) struct Listener {
    pub(super) subscription: Option<Subscription>,
    /// Redis' time at the last look; 0 before the first.
    pub(super) looked: u64,
    pub(super) next: Instant,
}

impl Listener {
    pub(super) fn new() -> Self {
        Self { subscription: None, looked: 0, next: Instant::now() }
    }
}
