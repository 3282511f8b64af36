//! Owns the queue of the requests that are no flights, and whose turn it is.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::core::budget::Permit;
use crate::core::grant::Client;

/// The kind of a one-off request. Each kind has a queue's length of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cancel,
    Open,
}

impl Kind {
    /// The largest number of requests that wait for a permit, and of those the largest of one client, which so cannot
    /// keep others from theirs. A page opens several parts of a film at once.
    fn most(self) -> (usize, usize) {
        match self {
            Self::Cancel => (64, 2),
            Self::Open => (256, 8),
        }
    }
}

/// The requests that wait for their turn and a permit.
pub(super) struct OneOffs {
    queue: VecDeque<Queued>,
    /// The number of flights that have started since the last one was sent.
    flights_since: usize,
}

/// Sends a request upstream, in a task of its own.
pub(super) type Sending = Box<dyn FnOnce(Permit) + Send>;

/// A request that waits. It is skipped if its client has disconnected.
struct Queued {
    kind: Kind,
    client: Client,
    /// Completes when the request is sent.
    sent: oneshot::Sender<()>,
    send: Sending,
}

impl OneOffs {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), flights_since: usize::MAX }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn flight_started(&mut self) {
        self.flights_since = self.flights_since.saturating_add(1);
    }

    /// Appends a request; `None` where too many of its kind wait, or of its client's. The receiver completes when it is sent.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        client: &Client,
        send: Sending,
    ) -> Option<oneshot::Receiver<()>> {
        self.queue.retain(|queued| !queued.sent.is_closed());
        let same = || self.queue.iter().filter(|queued| queued.kind == kind);
        let (most, most_of_one) = kind.most();
        if same().count() >= most || same().filter(|queued| queued.client == *client).count() >= most_of_one {
            return None;
        }
        let (sent, waiting) = oneshot::channel();
        self.queue.push_back(Queued { kind, client: client.clone(), sent, send });
        Some(waiting)
    }

    /// Skips the requests whose clients have left. Whether one waits, and as many flights have started since the last as
    /// clients wait.
    pub(super) fn have_turn(&mut self, clients: usize) -> bool {
        while self.queue.front().is_some_and(|queued| queued.sent.is_closed()) {
            self.queue.pop_front();
        }
        !self.queue.is_empty() && self.flights_since >= clients
    }

    /// Sends the first request. A client that disconnects in this moment has asked all the same.
    pub(super) fn send_first(&mut self, permit: Permit) {
        let Some(queued) = self.queue.pop_front() else { return };
        self.flights_since = 0;
        let _ = queued.sent.send(());
        (queued.send)(permit);
    }
}
