//! Owns the coordinator, which connects the store, the book, the budget and the source.
//!
//! Its only lock guards the book. The lock is held for a few map operations and never across an await. Inside
//! it the budget's lock and the store may be used, never the other way round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::book::Book;
use super::counters::CoreCounters;
use super::picture::Picture;
use super::recent_requests::RecentRequests;
use super::refusals::Refusals;
use crate::core::answer::Reason;
use crate::core::budget::{Budget, Position};
use crate::core::failure::Failure;
use crate::core::grant::Client;
use crate::core::pacing::Pacer;
use crate::core::policy::Policy;
use crate::core::ports::Source;
use crate::core::state::State;
use crate::core::store::Store;
use crate::core::task::{Routes, TaskKey};
use crate::lifecycle::Lifecycle;

/// Takes interest, starts flights, and publishes their results.
pub(in crate::core) struct Coordinator {
    pub(in crate::core) store: Store,
    pub(in crate::core) policy: Policy,
    pub(in crate::core) counters: CoreCounters,
    pub(in crate::core) recent_requests: RecentRequests,
    pub(in crate::core) budget: Budget,
    pub(super) source: Arc<dyn Source>,
    pub(super) lifecycle: Lifecycle,
    pub(super) routes: Routes,
    pub(super) refusals: Refusals,
    book: Mutex<Book>,
    /// Notified when a key is due sooner than the driver's alarm.
    pub(super) sooner: Notify,
    /// The time that the last flight's key had waited for its turn, in milliseconds.
    pub(super) lag: AtomicU64,
}

/// The expected start of a refresh, and the reason for the wait.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Forecast {
    pub(in crate::core) start: Instant,
    pub(in crate::core) reason: Reason,
}

impl Coordinator {
    pub(in crate::core) fn new(
        policy: Policy,
        pacer: Pacer,
        routes: Routes,
        store: Store,
        budget: Budget,
        source: Arc<dyn Source>,
        lifecycle: Lifecycle,
    ) -> Self {
        let max_in_flight = budget.max_in_flight();
        Self {
            store,
            policy,
            counters: CoreCounters::default(),
            recent_requests: RecentRequests::default(),
            budget,
            source,
            lifecycle,
            routes,
            refusals: Refusals::new(policy.max_tasks),
            book: Mutex::new(Book::new(pacer, policy.max_tasks, max_in_flight)),
            sooner: Notify::new(),
            lag: AtomicU64::new(0),
        }
    }

    /// Whether the store holds a state of the key, or the key has interest or a flight.
    pub(in crate::core) fn knows(&self, key: &TaskKey) -> bool {
        self.store.held(key).newest().is_some() || self.book().schedule.contains(key)
    }

    /// Releases one guard of interest, which then lingers for `linger`.
    pub(in crate::core) fn release(
        &self,
        key: &TaskKey,
        client: &Client,
        number: u64,
        linger: Option<Duration>,
    ) {
        // A client that never comes back leaves one lingering entry for a while. Such entries are bounded, as
        // tasks are.
        const LINGERING_PER_TASK: usize = 4;
        let mut book = self.book();
        // A landing may answer many clients at once, and the release of all but the last is cheap.
        if linger.is_none() && book.schedule.release_one_of_several(key, client, number) {
            return;
        }
        let now = Instant::now();
        let room = linger.is_some()
            && (book.schedule.lingering() < self.policy.max_tasks.saturating_mul(LINGERING_PER_TASK)
                || book.end_lingering_of_largest(client));
        let until = linger.filter(|_| room).map(|linger| now + linger);
        book.schedule.release(key, client, number, until, now);
        if let Some(ended) = book.drop_unwanted(key).and_then(|picture| picture.ended()) {
            self.counters.last_watcher.observe(now.saturating_duration_since(ended));
        }
    }

    /// The expected start of the refresh of a key for this client.
    pub(in crate::core) fn forecast(&self, key: &TaskKey, client: &Client, now: Instant) -> Forecast {
        if self.lifecycle.is_stopping() {
            return Forecast { start: now, reason: Reason::ShuttingDown };
        }
        let mut book = self.book();
        if book.schedule.in_flight(key) {
            // The refresh has started. A caller that still asks is waiting for a slow upstream, or for a probe.
            let because = match self.budget.gate() {
                Position::Open => Failure::TimedOut,
                Position::Closed { because, .. } | Position::Probing { because } => because,
            };
            return Forecast { start: now, reason: Reason::Upstream(because) };
        }
        let estimate = self.budget.estimate(now, book.schedule.ahead(key, client, now));
        let reason = estimate.because.map_or(Reason::Budget, Reason::Upstream);
        // A plan is made to use the budget, so waiting for it is waiting for the budget.
        let start = book.schedule.due(key).map_or(estimate.at, |due| due.max(estimate.at));
        match book.backoffs.get(key) {
            Some(backoff) if backoff.until > estimate.at => {
                Forecast { start: backoff.until, reason: Reason::Upstream(backoff.failure) }
            }
            _ => Forecast { start, reason },
        }
    }

    /// The time that due keys wait for their turn at present.
    pub(in crate::core) fn lag(&self) -> Duration {
        Duration::from_millis(self.lag.load(Ordering::Relaxed))
    }

    /// Forgets a task, on all replicas. A flight under way still answers its waiters, but its state is not stored.
    pub(in crate::core) async fn purge(&self, key: &TaskKey) {
        if let Some(tier) = self.budget.tier() {
            let _ = tier.forget(key).await;
        }
        self.book().forget(&self.store, key, Instant::now());
        self.refusals.forget(key);
        self.nudge();
    }

    /// Ends the wait of every client for a flight, because the gateway shuts down.
    pub(in crate::core) fn close(&self) {
        let mut book = self.book();
        book.closed = true;
        book.pictures.values_mut().for_each(Picture::close);
    }

    /// There is a new API key: tasks that wait because of the old one are due at once.
    pub(in crate::core) fn forgive(&self) {
        self.book().forgive(Instant::now());
        self.nudge();
    }

    /// Makes a key due at once: the store has lost its state.
    pub(in crate::core) fn hasten(&self, key: &TaskKey) {
        self.book().schedule.hasten(key, Instant::now());
        self.nudge();
    }

    /// Weighs a state again, whose event is kept from now on.
    pub(in crate::core) fn reweigh(&self, key: &TaskKey, state: &Arc<State>) {
        // Under the lock, as all writes of the store: a newer state may not be overwritten.
        let _book = self.book();
        self.store.reweigh(key, state);
    }

    /// Makes the driver dispatch at once.
    pub(in crate::core) fn nudge(&self) {
        self.sooner.notify_one();
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
    }
}
