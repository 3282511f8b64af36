//! Owns the counters of a listener's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A listener's connections: accepted, closed, and failed to accept.
#[derive(Debug, Default)]
pub struct Connections {
    accepted: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
}

/// An open connection, counted as closed when this is dropped.
pub(super) struct Open(Arc<Connections>);

impl Connections {
    /// Counts an accepted connection.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Counts a connection that could not be accepted.
    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open.
    pub fn open_now(&self) -> u64 {
        // `closed` is read first: the difference is never negative, whatever opens and closes between the
        // two.
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted().saturating_sub(closed)
    }

    /// Connections that could not be accepted: no file descriptor was free, or the client had disconnected.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}
