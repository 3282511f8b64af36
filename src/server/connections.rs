//! Owns the count of a listener's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A listener's connections: how many have come and how many are open.
#[derive(Debug, Default)]
pub struct Connections {
    accepted: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
}

/// A connection, counted as open until this is dropped.
pub(super) struct Open(Arc<Connections>);

impl Connections {
    /// One has come.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// One could not be accepted.
    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have come.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many are open just now.
    pub fn open_now(&self) -> u64 {
        // In this order: whatever comes and goes in between, none is closed that was not accepted.
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted().saturating_sub(closed)
    }

    /// How many could not be accepted: the system had no file for them, or their client had left.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}
