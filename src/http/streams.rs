//! Owns how many streams a client holds open, and when a stream ends for reasons of the gateway's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant, sleep_until};

use crate::config;
use crate::core::grant::Client;
use crate::lifecycle::Lifecycle;

/// The open streams of all clients, and what they are bound by.
#[derive(Clone)]
pub(super) struct Streams {
    open: Arc<Mutex<HashMap<Client, u32>>>,
    /// Per client.
    most: u32,
    longest: Duration,
    heartbeat: Duration,
    lifecycle: Lifecycle,
}

/// A place for one stream, given back when it is dropped.
pub(super) struct Slot {
    streams: Streams,
    client: Client,
    ends: Instant,
}

impl Streams {
    pub(super) fn new(settings: &config::Settings, lifecycle: Lifecycle) -> Self {
        Self {
            open: Arc::default(),
            most: settings.limits.max_streams.unwrap_or(u32::MAX),
            longest: settings.polling.max_stream,
            heartbeat: settings.polling.heartbeat,
            lifecycle,
        }
    }

    /// A place for another stream; `None` where the client has as many as it may, or the gateway drains.
    pub(super) fn open(&self, client: &Client) -> Option<Slot> {
        if self.lifecycle.is_stopping() {
            return None;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Slot { streams: self.clone(), client: client.clone(), ends: Instant::now() + self.longest })
    }
}

impl Slot {
    /// Resolves when the stream has to end: the process stops, or it has been open for long enough.
    pub(super) async fn ended(&self) {
        tokio::select! {
            () = sleep_until(self.ends) => {}
            () = self.streams.lifecycle.stopped() => {}
        }
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
