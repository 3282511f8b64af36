//! Owns the guard that says "somebody wants this key", and the seat from which its flight is seen.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};

use super::desk::Desk;
use super::grant::Client;
use super::picture::{Frame, Outcome};
use super::task::TaskKey;

/// Interest of one client in one key. Dropped, it lingers as long as it was told to.
pub(super) struct Interest {
    desk: Arc<Desk>,
    key: TaskKey,
    client: Client,
    linger: Option<Duration>,
}

impl Interest {
    pub(super) fn new(desk: Arc<Desk>, key: TaskKey, client: Client, linger: Option<Duration>) -> Self {
        Self { desk, key, client, linger }
    }

    /// How long it outlives this guard: `None` where its client has got what it wanted.
    pub(super) fn linger(&mut self, linger: Option<Duration>) {
        self.linger = linger;
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.desk.release(&self.key, &self.client, self.linger);
    }
}

/// A place from which a client sees what its key's flight brings.
pub(super) struct Seat {
    pub(super) frames: watch::Receiver<Frame>,
    /// The number of the first flight that answers this client.
    pub(super) flight: u64,
    /// Whether something was known that could stand in.
    pub(super) known_before: bool,
    /// Whether somebody else had asked before.
    pub(super) collapsed: bool,
    pub(super) interest: Interest,
}

impl Seat {
    /// Whether the flight has started.
    pub(super) fn started(&self) -> bool {
        self.frames.borrow().started >= self.flight
    }

    /// What the flight brings; `None` where it has not started by `start_by`, or the process ends first. Once started
    /// it is waited for: every flight lands. Cancel safe.
    pub(super) async fn landing(&mut self, start_by: Instant) -> Option<Outcome> {
        let mut patience = std::pin::pin!(sleep_until(start_by));
        // A timer costs something, and who comes to a flight that has started needs none.
        let mut is_patient = !self.started();
        loop {
            {
                let frame = self.frames.borrow_and_update();
                if frame.landed >= self.flight {
                    return frame.outcome.clone();
                }
                if frame.closed {
                    return None;
                }
            }
            tokio::select! {
                changed = self.frames.changed() => changed.ok()?,
                () = &mut patience, if is_patient => {
                    if !self.started() {
                        return None;
                    }
                    is_patient = false;
                }
            }
        }
    }
}
