//! Owns how many streams a client holds open, and when a stream ends for reasons of the gateway's own.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep_until};

use crate::config;
use crate::core::grant::Client;
use crate::core::ticket::TicketFault;
use crate::http::request_log::{RequestCounters, Strike};
use crate::http::respond::error::{CredentialFault, Error};
use crate::http::respond::sse;
use crate::lifecycle::Lifecycle;

/// The open streams of all clients, and what they are bound by.
#[derive(Clone)]
pub(in crate::http) struct Streams {
    open: Arc<Mutex<HashMap<Client, u32>>>,
    /// Per client.
    most: Arc<AtomicU32>,
    longest: Duration,
    heartbeat: Duration,
    lifecycle: Lifecycle,
    counters: Arc<RequestCounters>,
}

/// A place for one stream, given back when it is dropped.
pub(in crate::http) struct Slot {
    streams: Streams,
    client: Client,
    ends: Instant,
    /// When the right to read ends.
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

    /// How many are open.
    pub(in crate::http) fn count(&self) -> u64 {
        let open = self.open.lock();
        open.values().copied().map(u64::from).sum()
    }

    /// Takes another bound; streams that are open stay so.
    pub(in crate::http) fn renew(&self, settings: &config::Limits) {
        self.most.store(most(settings), Ordering::Relaxed);
    }

    /// A place for another stream, for as long as its reader's right lasts; `None` where the client has as many as it may, or the gateway drains.
    pub(in crate::http) fn open(&self, client: &Client, expires: Option<Instant>) -> Option<Slot> {
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
        Some(Slot { streams: self.clone(), client: client.clone(), ends, expires })
    }
}

fn most(settings: &config::Limits) -> u32 {
    settings.max_streams.unwrap_or(u32::MAX)
}

impl Slot {
    /// Resolves when the stream has to end, with its last words: the process stops or it has been open for
    /// long enough, so that the client should come back; or the ticket has ended, and it needs a new one.
    pub(in crate::http) async fn ended(&self) -> Bytes {
        let expires = self.expires.filter(|expires| *expires <= self.ends);
        tokio::select! {
            () = sleep_until(expires.unwrap_or(self.ends)) => {}
            () = self.streams.lifecycle.stopped() => return sse::retry(),
        }
        if expires.is_none() {
            return sse::retry();
        }
        let error = Error::InvalidCredentials(CredentialFault::Ticket(TicketFault::Expired));
        sse::event(Some("trouble"), None, &error.envelope())
    }

    /// What counts the stream's answers.
    pub(in crate::http) fn counters(&self) -> &RequestCounters {
        &self.streams.counters
    }

    /// Makes the stream end after `seconds` at the latest.
    pub(in crate::http) fn end_within(&mut self, seconds: u64) {
        self.ends = self.ends.min(Instant::now() + Duration::from_secs(seconds));
    }

    /// When the next sign of life is due.
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
