//! Owns interest, the guard that says "this client wants this task".

use std::sync::Arc;

use tokio::time::Duration;

use super::coordinator::Coordinator;
use crate::core::grant::Client;
use crate::core::task::TaskKey;

/// The interest of one client in one key. When the guard is dropped, the interest lingers for `linger`.
pub(in crate::core) struct Interest {
    coordinator: Arc<Coordinator>,
    key: TaskKey,
    client: Client,
    /// The number of the interest in the schedule.
    number: u64,
    linger: Option<Duration>,
}

impl Interest {
    pub(super) fn new(
        coordinator: Arc<Coordinator>,
        key: TaskKey,
        client: Client,
        number: u64,
        linger: Option<Duration>,
    ) -> Self {
        Self { coordinator, key, client, number, linger }
    }

    /// Sets the time by which the interest outlives this guard; `None` where the client has got its answer.
    pub(in crate::core) fn linger(&mut self, linger: Option<Duration>) {
        self.linger = linger;
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.coordinator.release(&self.key, &self.client, self.number, self.linger);
    }
}
