//! Owns the accepting of connections: one for each free place. Further ones wait in the kernel's backlog.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, sleep};

use super::connections::{Connections, Open};

/// The pause after an accept that failed, mostly for want of a file descriptor.
const PAUSE: Duration = Duration::from_millis(50);
/// The shortest time between two log lines about it: while descriptors are short, every accept fails.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// A listener and its free places.
pub(super) struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    connections: Arc<Connections>,
    failures: Failures,
}

/// An accepted connection.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// Held as long as the connection is open.
    pub(super) place: Place,
}

/// The place of an open connection, which counts it as open until it is dropped.
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    _open: Open,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, places: usize, connections: Arc<Connections>) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { listener, places, connections, failures: Failures::default() }
    }

    /// The next connection, as soon as a place is free. Cancel safe.
    pub(super) async fn next(&mut self) -> Accepted {
        // The semaphore is never closed, so the permit is always there.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let place = Place { _permit: permit, _open: self.connections.open() };
                    return Accepted { stream, peer, place };
                }
                Err(error) => {
                    self.connections.fail();
                    // No file descriptor is free, or the client disconnected while it was in the backlog.
                    if let Some(failures) = self.failures.record(Instant::now()) {
                        tracing::warn!(%error, failures, "connections could not be accepted");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Accepts that failed, counted until they are logged.
#[derive(Default)]
struct Failures {
    unlogged: u64,
    logged_at: Option<Instant>,
}

impl Failures {
    /// Counts one failure. Where a log line is due, returns the count since the last one.
    fn record(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self.logged_at.is_some_and(|logged| now < logged + LOG_EVERY) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_logged_at_once_and_later_ones_together() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let logged: Vec<_> = (0..240)
            .filter_map(|number| failures.record(start + PAUSE * number).map(|count| (number, count)))
            .collect();
        assert_eq!(logged, [(0, 1), (100, 100), (200, 100)]);
    }
}
