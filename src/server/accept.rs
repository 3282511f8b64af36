//! Owns who comes in: one connection for each free place. Who finds none waits in the kernel's backlog.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, sleep};

use super::connections::{Connections, Open};

/// Between two tries when the system has no descriptor to spare.
const PAUSE: Duration = Duration::from_millis(50);
/// Between two lines of the log about that: it may last, and then every try fails.
const COMPLAINT_EVERY: Duration = Duration::from_secs(5);

/// A listener and its places.
pub(super) struct Acceptor {
    listener: TcpListener,
    places: Arc<Semaphore>,
    connections: Arc<Connections>,
    failures: Failures,
}

/// A connection that was let in.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// To be held for as long as the connection is open.
    pub(super) place: Place,
}

/// A place that is taken, and counted as such.
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    _open: Open,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, places: usize, connections: Arc<Connections>) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { listener, places, connections, failures: Failures::default() }
    }

    /// The next connection, once there is a place for it. Cancel safe.
    pub(super) async fn next(&mut self) -> Accepted {
        // The semaphore is never closed, so there always is a permit.
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let place = Place { _permit: permit, _open: self.connections.open() };
                    return Accepted { stream, peer, place };
                }
                Err(error) => {
                    self.connections.fail();
                    // Out of file descriptors, or a client that left while it was in the backlog.
                    if let Some(failures) = self.failures.note(Instant::now()) {
                        tracing::warn!(%error, failures, "connections could not be accepted");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Failures to accept, counted until the log is told of them.
#[derive(Default)]
struct Failures {
    untold: u64,
    told: Option<Instant>,
}

impl Failures {
    /// Counts one; the count since last time where the log is to be told.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now < told + COMPLAINT_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_at_once_and_then_now_and_again() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let told: Vec<_> = (0..240)
            .filter_map(|number| failures.note(start + PAUSE * number).map(|count| (number, count)))
            .collect();
        assert_eq!(told, [(0, 1), (100, 100), (200, 100)]);
    }
}
