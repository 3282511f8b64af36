//! Owns the state of the listener: its subscription, and when it looks next.

use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::Instant;

/// The state of the listener. Only one task listens.
pub(super) struct Listener {
    /// The end of the sink is the end of the subscription.
    pub(super) subscription: Option<(PubSubSink, PubSubStream)>,
    /// Redis' time at the last look; 0 before the first.
    pub(super) looked: u64,
    pub(super) next: Instant,
}

impl Listener {
    pub(super) fn new() -> Self {
        Self { subscription: None, looked: 0, next: Instant::now() }
    }
}
