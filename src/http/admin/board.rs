//! Owns the dashboard's latest event, and the places of its viewers. The event is made once a second for all
//! viewers, and not at all without any.
//!
//! The lock is held while the event is made, and is never taken inside another lock.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};

/// The most viewers at once.
const MOST: usize = 16;
/// The time from one event to the next.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Viewers whose timers differ by less than this get the same event.
const SLACK: Duration = Duration::from_millis(100);

/// The latest event, and the viewers' places.
pub(super) struct Board {
    places: Arc<Semaphore>,
    latest: Mutex<Option<(Instant, Bytes)>>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), latest: Mutex::default() }
    }

    /// A viewer's place, if one is free.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The event of this second. `make` is called if there is none yet.
    pub(super) fn event(&self, now: Instant, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut latest = self.latest.lock();
        match &*latest {
            Some((made, event)) if now.saturating_duration_since(*made) + SLACK < PERIOD => event.clone(),
            _ => latest.insert((now, make())).1.clone(),
        }
    }
}
