//! Owns the limits per client: requests per second, and new tasks (ids that the gateway does not know) per
//! minute.
//!
//! Each client has a bucket of its own, with the same algorithm as the key's budget. The number of buckets is
//! bounded: the least recently used one is dropped, and its client starts again with a full one.

use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::proxy_hint::ProxyHint;
use crate::config;
use crate::core::budget::{Bucket, Rate};
use crate::core::grant::Client;
use crate::core::time::seconds_up;
use crate::http::request_log::{RequestCounters, Strike};
use crate::http::respond::error::Error;

/// The most clients that have a bucket at once.
const MAX_CLIENTS: u64 = 100_000;

/// The limits in force. New settings replace them as a whole, and each client starts again with full buckets.
pub(in crate::http) struct ClientLimits {
    set: RwLock<Arc<Set>>,
    counters: Arc<RequestCounters>,
}

/// The limits that are configured.
struct Set {
    requests: Option<Limit>,
    new_tasks: Option<Limit>,
    proxy_hint: ProxyHint,
}

/// One limit, for all clients.
struct Limit {
    rate: Rate,
    buckets: Cache<Client, Arc<Mutex<Bucket>>>,
}

impl ClientLimits {
    pub(in crate::http) fn new(settings: &config::Limits, counters: Arc<RequestCounters>) -> Self {
        Self { set: RwLock::new(Arc::new(Set::new(settings))), counters }
    }

    /// Replaces the limits.
    pub(in crate::http) fn renew(&self, settings: &config::Limits) {
        *self.set.write() = Arc::new(Set::new(settings));
    }

    /// Counts a request.
    pub(in crate::http) fn request(&self, client: &Client, now: Instant) -> Result<(), Error> {
        let set = self.set();
        if set.requests.is_some() || set.new_tasks.is_some() {
            set.proxy_hint.count(client);
        }
        let taken = set.requests.as_ref().map_or(Ok(()), |limit| limit.take(client, now));
        taken.inspect_err(|_| self.counters.strike(Strike::RequestsPerSecond))
    }

    /// Counts a request for a task that the gateway does not know. `is_new` is called only if the limit is
    /// on.
    pub(in crate::http) fn new_task(
        &self,
        client: &Client,
        now: Instant,
        is_new: impl FnOnce() -> bool,
    ) -> Result<(), Error> {
        match &self.set().new_tasks {
            Some(limit) if is_new() => {
                limit.take(client, now).inspect_err(|_| self.counters.strike(Strike::NewTasksPerMinute))
            }
            _ => Ok(()),
        }
    }

    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read())
    }
}

impl Set {
    fn new(settings: &config::Limits) -> Self {
        Self {
            requests: settings.requests_per_second.map(|count| Limit::new(count, f64::from(count) * 60.0)),
            new_tasks: settings.new_tasks_per_minute.map(|count| Limit::new(count, f64::from(count))),
            proxy_hint: ProxyHint::default(),
        }
    }
}

impl Limit {
    /// The burst is the limit itself: the requests of one second, or the new tasks of one minute.
    fn new(burst: u32, per_minute: f64) -> Self {
        let buckets =
            Cache::builder().max_capacity(MAX_CLIENTS).eviction_policy(EvictionPolicy::lru()).build();
        Self { rate: Rate { per_minute, burst }, buckets }
    }

    fn take(&self, client: &Client, now: Instant) -> Result<(), Error> {
        let full = || Arc::new(Mutex::new(Bucket::new(self.rate, now)));
        let bucket = self.buckets.entry_by_ref(client).or_insert_with(full).into_value();
        let mut bucket = bucket.lock();
        if bucket.take(now) {
            return Ok(());
        }
        let wait = bucket.ready_at(now, 0).saturating_duration_since(now);
        Err(Error::ClientRateLimited { retry_after: seconds_up(wait).max(1) })
    }
}
