//! Owns how many streams a client holds open, and when a stream ends for reasons of the gateway's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep_until};

use super::access::Doubt;
use super::error::Error;
use super::sse;
use crate::config;
use crate::core::grant::Client;
use crate::core::ticket::TicketFault;
use crate::lifecycle::Lifecycle;

/// The open streams of all clients, and what they are bound by.
#[derive(Clone)]
pub(super) struct Streams {
    open: Arc<Mutex<HashMap<Client, u32>>>,
    /// Per client.
    most: Arc<AtomicU32>,
    longest: Duration,
    heartbeat: Duration,
    lifecycle: Lifecycle,
}

/// A place for one stream, given back when it is dropped.
pub(super) struct Slot {
    streams: Streams,
    client: Client,
    ends: Instant,
    /// When the right to read ends.
    expires: Option<Instant>,
}

impl Streams {
    pub(super) fn new(settings: &config::Settings, lifecycle: Lifecycle) -> Self {
        Self {
            open: Arc::default(),
            most: Arc::new(AtomicU32::new(most(&settings.limits))),
            longest: settings.polling.max_stream,
            heartbeat: settings.polling.heartbeat,
            lifecycle,
        }
    }

    /// Takes another bound; streams that are open stay so.
    pub(super) fn renew(&self, settings: &config::Limits) {
        self.most.store(most(settings), Ordering::Relaxed);
    }

    /// How many are open.
    pub(super) fn count(&self) -> u32 {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// A place for another stream, for as long as its reader's right lasts; `None` where the client has as many as it may, or the gateway drains.
    pub(super) fn open(&self, client: &Client, expires: Option<Instant>) -> Option<Slot> {
        if self.lifecycle.is_stopping() {
            return None;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client.clone()).or_default();
        if *count >= self.most.load(Ordering::Relaxed) {
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
    pub(super) async fn ended(&self) -> Bytes {
        let expires = self.expires.filter(|expires| *expires <= self.ends);
        tokio::select! {
            () = sleep_until(expires.unwrap_or(self.ends)) => {}
            () = self.streams.lifecycle.stopped() => return sse::retry(),
        }
        if expires.is_none() {
            return sse::retry();
        }
        let error = Error::InvalidCredentials(Doubt::Ticket(TicketFault::Expired));
        sse::event(Some("trouble"), None, &error.envelope())
    }

    /// Makes the stream end after `seconds` at the latest.
    pub(super) fn end_within(&mut self, seconds: u64) {
        self.ends = self.ends.min(Instant::now() + Duration::from_secs(seconds));
    }

    /// When the next sign of life is due.
    pub(super) fn next_heartbeat(&self) -> Instant {
        Instant::now() + self.streams.heartbeat
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}
