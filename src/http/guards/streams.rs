//! Owns the limit of open streams per client, and what the gateway itself sends on a stream: heartbeats, and the
//! farewell.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use crate::config;
use crate::core::alarm::Alarm;
use crate::core::answer::Refusal;
use crate::core::grant::Client;
use crate::core::places::{Full, Place, Waiting};
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
    /// Set for the next heartbeat or the end, whichever is earlier.
    alarm: Alarm,
}

/// What a stream sends next.
pub(in crate::http) enum Next<E> {
    /// The next of its events.
    Event(E),
    /// A comment, because there was no event for long.
    Heartbeat,
    /// Its last event.
    Farewell(Bytes),
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
        place.streams();
        let now = Instant::now();
        let mut slot = Slot {
            streams: self.clone(),
            client: client.clone(),
            _waiting: place.wait(),
            place: Arc::clone(place),
            ends: now + self.longest,
            expires,
            alarm: Alarm::new(now + self.heartbeat),
        };
        // The end may come before the first event.
        slot.put_off(now);
        Some(slot)
    }
}

fn most(settings: &config::Limits) -> u32 {
    settings.max_streams.unwrap_or(u32::MAX)
}

impl Slot {
    /// The next event, unless a heartbeat is due before or the stream has to end. Cancel safe if `event` is.
    ///
    /// That the process stops or the connection has to give way is seen when this is polled: both wake the connection,
    /// which polls its answer then. So thousands of idle streams wait for nothing but their events and one timer.
    pub(in crate::http) async fn next<E>(&mut self, mut event: Pin<&mut impl Future<Output = E>>) -> Next<E> {
        poll_fn(|cx| {
            let now = Instant::now();
            // First: after its ticket has ended, a client gets no further state.
            if let Some(farewell) = self.farewell(now) {
                return Poll::Ready(Next::Farewell(farewell));
            }
            if let Poll::Ready(event) = event.as_mut().poll(cx) {
                self.put_off(now);
                return Poll::Ready(Next::Event(event));
            }
            if self.alarm.poll(cx, now).is_pending() {
                return Poll::Pending;
            }
            self.put_off(now);
            Poll::Ready(match self.farewell(Instant::now()) {
                Some(farewell) => Next::Farewell(farewell),
                None => Next::Heartbeat,
            })
        })
        .await
    }

    /// Sets the alarm for a heartbeat after a while without an event, or for the end, if that is earlier.
    fn put_off(&mut self, now: Instant) {
        self.alarm.set((now + self.streams.heartbeat).min(self.end()));
    }

    fn end(&self) -> Instant {
        self.expires.map_or(self.ends, |expires| expires.min(self.ends))
    }

    /// The last event of the stream, where it has to end: a `retry` where the client should reconnect, because the
    /// process stops, the connection gives way, or the stream has reached its longest time; an error where the ticket
    /// has expired.
    fn farewell(&self, now: Instant) -> Option<Bytes> {
        if self.end() <= now && self.expires.is_some_and(|expires| expires <= self.ends) {
            let error = Error::InvalidCredentials(CredentialFault::Ticket(TicketFault::Expired));
            return Some(sse::event(Some("trouble"), None, &error.envelope()));
        }
        let is_over = self.end() <= now || self.streams.lifecycle.is_stopping() || self.place.has_to_leave();
        is_over.then(sse::retry)
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
        let now = Instant::now();
        self.ends = self.ends.min(now + Duration::from_secs(seconds));
        self.put_off(now);
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
