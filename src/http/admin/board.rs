//! Owns the dashboard's event of this second and the places of those who watch. The event is made once a second, however
//! many watch, and not at all while nobody does.
//!
//! The lock is held while the event is made, and is taken inside no other.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};

/// How many may watch at once.
const MOST: usize = 16;
/// From one event to the next.
pub(super) const PERIOD: Duration = Duration::from_secs(1);
/// Two ticks that fall together within this are one.
const SLACK: Duration = Duration::from_millis(100);

/// The latest event, and the places.
pub(super) struct Board {
    places: Arc<Semaphore>,
    latest: Mutex<Option<(Instant, Bytes)>>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), latest: Mutex::default() }
    }

    /// A place to watch from, if one is free.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The event of this second; `make` is asked where there is none yet.
    pub(super) fn event(&self, now: Instant, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut latest = self.latest.lock();
        match &*latest {
            Some((made, event)) if now.saturating_duration_since(*made) + SLACK < PERIOD => event.clone(),
            _ => latest.insert((now, make())).1.clone(),
        }
    }
}
