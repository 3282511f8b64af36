//! Owns the limit of open streams per client, and the gateway's reasons to end a stream.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep_until};

use crate::config;
use crate::core::answer::Refusal;
use crate::core::grant::Client;
use crate::core::places::{Full, Manner, Place, Waiting};
use crate::core::ticket::TicketFault;
use crate::http::request_log::{RequestCounters, Strike};
use crate::http::respond::error::{CredentialFault, Error};
use crate::http::respond::sse;
use crate::lifecycle::Lifecycle;

/// The time after which there may be room again for the bytes of an event.
const FULL_FOR: Duration = Duration::from_secs(5);

/// The open streams of all clients, and their limits.
#[derive(Clone)]
pub(in crate::http) struct Streams {
    open: Arc<Mutex<HashMap<Client, u32>>>,
    /// The most open streams of one client.
    most: Arc<AtomicU32>,
    longest: Duration,
    heartbeat: Duration,
    lifecycle: Lifecycle,
    counters: Arc<RequestCounters>,
}

/// The place of one open stream, freed when it is dropped.
pub(in crate::http) struct Slot {
    streams: Streams,
    client: Client,
    place: Arc<Place>,
    _waiting: Waiting,
    ends: Instant,
    /// When the caller's right to read ends.
    expires: Option<Instant>,
}

impl Streams {
    pub(in crate::http) fn new(
        settings: &config::Settings,
        lifecycle: Lifecycle,
        counters: Arc<RequestCounters>,
    ) -> Self {
        Self {
            open: Arc::default(),
            most: Arc::new(AtomicU32::new(most(&settings.limits))),
            longest: settings.polling.max_stream,
            heartbeat: settings.polling.heartbeat,
            lifecycle,
            counters,
        }
    }

    /// The number of open streams.
    pub(in crate::http) fn count(&self) -> u64 {
        let open = self.open.lock();
        open.values().copied().map(u64::from).sum()
    }

    /// Replaces the limit per client. Open streams stay open.
    pub(in crate::http) fn renew(&self, settings: &config::Limits) {
        self.most.store(most(settings), Ordering::Relaxed);
    }

    /// A place for another stream, until `expires` at the latest. `None` if the client has reached its limit,
    /// or the gateway drains.
    pub(in crate::http) fn open(
        &self,
        client: &Client,
        expires: Option<Instant>,
        place: &Arc<Place>,
    ) -> Option<Slot> {
        if self.lifecycle.is_stopping() {
            return None;
        }
        let mut open = self.open.lock();
        let count = open.entry(client.clone()).or_default();
        if *count >= self.most.load(Ordering::Relaxed) {
            self.counters.strike(Strike::MaxStreams);
            return None;
        }
        *count += 1;
        let ends = Instant::now() + self.longest;
        Some(Slot {
            streams: self.clone(),
            client: client.clone(),
            _waiting: place.wait(),
            place: Arc::clone(place),
            ends,
            expires,
        })
    }
}

fn most(settings: &config::Limits) -> u32 {
    settings.max_streams.unwrap_or(u32::MAX)
}

impl Slot {
    /// Resolves when the stream has to end, with its last event: a `retry` where the client should reconnect,
    /// because the process stops or the stream has reached its longest time; an error where the ticket has
    /// expired.
    pub(in crate::http) async fn ended(&self) -> Bytes {
        let expires = self.expires.filter(|expires| *expires <= self.ends);
        tokio::select! {
            () = sleep_until(expires.unwrap_or(self.ends)) => {}
            () = self.streams.lifecycle.stopped() => return sse::retry(),
            () = self.place.leave(Manner::Politely) => return sse::retry(),
        }
        if expires.is_none() {
            return sse::retry();
        }
        let error = Error::InvalidCredentials(CredentialFault::Ticket(TicketFault::Expired));
        sse::event(Some("trouble"), None, &error.envelope())
    }

    /// The counters for the stream's answers.
    pub(in crate::http) fn counters(&self) -> &RequestCounters {
        &self.streams.counters
    }

    /// The connection holds this body until it is written.
    ///
    /// # Errors
    /// There is no room for it: the stream has to end, and its client to reconnect.
    pub(in crate::http) fn hold(&self, body: &Bytes) -> Result<(), Refusal> {
        self.place.hold(body).map_err(|Full| Refusal::overloaded(FULL_FOR))
    }

    /// Ends the stream after `seconds` at the latest.
    pub(in crate::http) fn end_within(&mut self, seconds: u64) {
        self.ends = self.ends.min(Instant::now() + Duration::from_secs(seconds));
    }

    /// When the next heartbeat is due, if no event is sent before.
    pub(in crate::http) fn next_heartbeat(&self) -> Instant {
        Instant::now() + self.streams.heartbeat
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}
