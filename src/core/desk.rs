//! Owns the refreshing: interest comes in, flights go out, what they bring is published and kept.
//!
//! One lock, the book, held for a few map operations and never across an await. Inside it the budget's
//! lock and the store may be used, never the other way round. A flight is a task of its own: nobody's
//! departure can cancel it, and its landing happens even if it panics.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::budget::{Budget, Change, Pass, Permit, Position, Readiness};
use super::grant::{Client, Grant};
use super::interest::{Interest, Seat};
use super::pacing::Pacing;
use super::picture::{Outcome, Picture};
use super::ports::{Failure, Scope, Source};
use super::schedule::Schedule;
use super::setback::Setback;
use super::snapshot::{Retention, Snapshot, State};
use super::store::{Put, Store};
use super::task::TaskKey;
use crate::lifecycle::Lifecycle;

#[cfg(test)]
mod tests;

/// How the core behaves, from the settings.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How often live tasks are asked about.
    pub pacing: Pacing,
    /// How long states are kept.
    pub retention: Retention,
    /// How long a plain GET waits for its refresh to start.
    pub patience: Duration,
    /// How long one flight may take.
    pub timeout: Duration,
    /// How many tasks may have interest at once.
    pub max_tasks: usize,
}

/// Where interest is registered and flights leave from.
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) policy: Policy,
    budget: Budget,
    source: Arc<dyn Source>,
    lifecycle: Lifecycle,
    book: Mutex<Book>,
    /// Rung when something is due sooner than the driver's alarm.
    sooner: Notify,
    /// How long the key started last had waited for its turn, in milliseconds.
    lag: AtomicU64,
}

struct Book {
    schedule: Schedule,
    /// One for every key in the schedule.
    pictures: HashMap<TaskKey, Picture>,
    /// Remembered failures; outlives interest, so that asking again does not undo the back-off.
    setbacks: Cache<TaskKey, Setback>,
    /// When the driver looks next; `None`: when rung.
    alarm: Option<Instant>,
    /// When the gate opened last: waiting before that was for the gate, not for a turn.
    opened: Option<Instant>,
}

/// What is held because somebody is interested: all zero once everybody is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Tasks with interest, or in flight.
    pub tasks: usize,
    /// Pictures, one for each of them.
    pub pictures: usize,
    /// Interest that outlives its client.
    pub lingering: usize,
}

/// What a client that asks for a refresh gets.
pub(super) enum Joined {
    /// A state that has become fresh meanwhile.
    Fresh(Arc<State>),
    /// A seat from which to see the refresh.
    Seat(Seat),
    /// Nothing: too many tasks have interest.
    Full,
}

/// Why an answer has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The key's budget is spent for the moment.
    Budget,
    /// Too many tasks have interest at once.
    Overloaded,
    /// The upstream failed: for this task, or for all.
    Upstream(Failure),
}

/// When a refresh would start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forecast {
    pub(super) start: Instant,
    pub(super) reason: Reason,
}

impl Desk {
    pub(super) fn new(
        policy: Policy,
        store: Store,
        budget: Budget,
        source: Arc<dyn Source>,
        lifecycle: Lifecycle,
    ) -> Self {
        let book = Book {
            schedule: Schedule::default(),
            pictures: HashMap::new(),
            setbacks: Cache::builder()
                .max_capacity(policy.max_tasks as u64)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            alarm: None,
            opened: None,
        };
        Self {
            store,
            policy,
            budget,
            source,
            lifecycle,
            book: Mutex::new(book),
            sooner: Notify::new(),
            lag: AtomicU64::new(0),
        }
    }

    /// Sends what is due when it is due. Runs until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let alarm = self.dispatch();
            match alarm {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.sooner.notified() => {}
                    }
                }
                None => self.sooner.notified().await,
            }
        }
    }

    /// Registers interest. `linger` is how long it outlives a client that leaves without an answer.
    pub(super) fn join(self: &Arc<Self>, grant: &Grant, linger: Option<Duration>) -> Joined {
        let (key, client) = (grant.key(), grant.client());
        let now = Instant::now();
        let mut book = self.book();
        // Between the caller's look and this lock a flight may have landed.
        if let Some(state) = self.store.fresh(key, now) {
            return Joined::Fresh(state);
        }
        book.sweep(now);
        let collapsed = book.schedule.contains(key);
        if !collapsed && book.schedule.len() >= self.policy.max_tasks {
            return Joined::Full;
        }
        let known = self.store.newest(key).map_or(now, |state| state.fresh_until);
        let barred = book.setbacks.get(key).map_or(known, |setback| setback.until);
        book.schedule.want(key, client, known.max(barred), now);
        let picture = book.pictures.entry(key.clone()).or_insert_with(Picture::new);
        let (frames, flight) = (picture.subscribe(), picture.answering_flight());
        let interest = Interest::new(Arc::clone(self), key.clone(), client.clone(), linger);
        self.dispatch_beside(&mut book, now);
        Joined::Seat(Seat { frames, flight, collapsed, interest })
    }

    /// Gives back interest; it lingers for `linger`.
    pub(super) fn release(&self, key: &TaskKey, client: &Client, linger: Option<Duration>) {
        // Somebody who never comes back costs one entry here for a while: bounded like the tasks.
        const LINGERING_PER_TASK: usize = 4;
        let now = Instant::now();
        let mut book = self.book();
        let room = book.schedule.lingering() < self.policy.max_tasks.saturating_mul(LINGERING_PER_TASK);
        let until = linger.filter(|_| room).map(|linger| now + linger);
        book.schedule.release(key, client, until, now);
        if !book.schedule.contains(key) {
            book.pictures.remove(key);
        }
    }

    /// When the refresh of a key would start for this client.
    pub(super) fn forecast(&self, key: &TaskKey, client: &Client, now: Instant) -> Forecast {
        let mut book = self.book();
        let estimate = self.budget.estimate(now, book.schedule.ahead(key, client, now));
        let reason = estimate.because.map_or(Reason::Budget, Reason::Upstream);
        match book.setbacks.get(key) {
            Some(setback) if setback.until > estimate.at => {
                Forecast { start: setback.until, reason: Reason::Upstream(setback.failure) }
            }
            _ => Forecast { start: estimate.at, reason },
        }
    }

    /// How long keys that are due wait for their turn just now.
    pub(super) fn lag(&self) -> Duration {
        Duration::from_millis(self.lag.load(Ordering::Relaxed))
    }

    /// What is held because somebody is interested.
    pub(super) fn census(&self) -> Census {
        let book = self.book();
        Census {
            tasks: book.schedule.len(),
            pictures: book.pictures.len(),
            lingering: book.schedule.lingering(),
        }
    }

    fn set_lag(&self, lag: Duration) {
        self.lag.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Forgets a task. A flight under way still answers those who wait, and is not kept.
    pub(super) fn purge(&self, key: &TaskKey) {
        let mut book = self.book();
        self.store.remove(key);
        book.setbacks.invalidate(key);
        if let Some(picture) = book.pictures.get_mut(key) {
            picture.outdate();
        }
        book.schedule.hasten(key, Instant::now());
        drop(book);
        self.sooner.notify_one();
    }

    fn dispatch(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut book = self.book();
        book.alarm = self.send_due(&mut book, now);
        book.alarm
    }

    /// The same for those who are not the driver: it is rung where it would look too late.
    fn dispatch_beside(self: &Arc<Self>, book: &mut Book, now: Instant) {
        let Some(next) = self.send_due(book, now) else { return };
        if book.alarm.is_none_or(|alarm| next < alarm) {
            book.alarm = Some(next);
            self.sooner.notify_one();
        }
    }

    /// Starts every flight that is due and paid for; says when to look again for the rest.
    fn send_due(self: &Arc<Self>, book: &mut Book, now: Instant) -> Option<Instant> {
        book.sweep(now);
        while book.schedule.has_due(now) {
            let Some(permit) = self.budget.acquire(now) else { break };
            let Some((key, since)) = book.schedule.start(now) else { break };
            if self.budget.gate() == Position::Open {
                let since = book.opened.map_or(since, |opened| opened.max(since));
                self.set_lag(now.saturating_duration_since(since));
            }
            if let Some(picture) = book.pictures.get_mut(&key) {
                picture.start();
            }
            self.fly(key, permit);
        }
        let due = book.schedule.next_due(now);
        if due.is_none_or(|due| due > now) {
            self.set_lag(Duration::ZERO);
            return due;
        }
        match self.budget.readiness(now) {
            Readiness::Now => Some(now + Duration::from_millis(1)),
            Readiness::At(at) => Some(at),
            // The next landing looks again.
            Readiness::Busy => None,
        }
    }

    fn fly(self: &Arc<Self>, key: TaskKey, permit: Permit) {
        let pass = permit.pass();
        let desk = Arc::clone(self);
        drop(self.lifecycle.spawn(async move {
            // From here on the landing happens, on return, panic and abort. Not sooner: a runtime that
            // goes down drops new tasks within `spawn`, and the book is locked there.
            let mut landing = Landing { desk: Arc::clone(&desk), key: key.clone(), pass, result: None };
            let fetching = desk.source.fetch(&key, permit);
            landing.result =
                Some(timeout(desk.policy.timeout, fetching).await.unwrap_or(Err(Failure::TimedOut)));
        }));
    }

    fn land(self: &Arc<Self>, key: &TaskKey, pass: Pass, result: Result<Snapshot, Failure>) {
        let now = Instant::now();
        let mut book = self.book();
        let change = self.budget.settle(now, pass, key, result.as_ref().err().copied());
        if matches!(change, Change::Opened { .. }) {
            book.opened = Some(now);
            self.set_lag(Duration::ZERO);
        }
        // Before this flight's own failure is noted: that one is news.
        if matches!(change, Change::Opened { because } if because.scope() == Scope::Service) {
            book.forgive(now);
        }
        let outdated = book.pictures.get(key).is_some_and(Picture::is_outdated);
        let (outcome, due, refreshed) = match result {
            Ok(snapshot) => {
                book.setbacks.invalidate(key);
                let outcome = self.keep(key, snapshot, outdated, now);
                (outcome.0, outcome.1, true)
            }
            Err(failure) if failure.scope() == Scope::Account => {
                let due = book.schedule.due(key).unwrap_or(now);
                (Outcome::Failure(failure), due, false)
            }
            Err(failure) => {
                let setback = Setback::after(book.setbacks.get(key), failure, now);
                book.setbacks.insert(key.clone(), setback);
                (Outcome::Failure(failure), setback.until, true)
            }
        };
        book.schedule.land(key, due, refreshed);
        if let Some(picture) = book.pictures.get_mut(key) {
            picture.land(outcome);
        }
        if !book.schedule.contains(key) {
            book.pictures.remove(key);
        }
        self.dispatch_beside(&mut book, now);
    }

    /// Keeps what a flight brought: what to publish, and when the key is due again.
    fn keep(&self, key: &TaskKey, snapshot: Snapshot, outdated: bool, now: Instant) -> (Outcome, Instant) {
        let first_seen = self.store.newest(key).map_or(snapshot.fetched, |known| known.first_seen);
        let status = snapshot.status.as_u16();
        let state = State::new(snapshot, first_seen, &self.policy.retention, &self.policy.pacing);
        if outdated {
            return (Outcome::State { state, status, stored: false }, now);
        }
        match self.store.put(key, &state, now) {
            Put::Stored => {
                let due = state.fresh_until;
                (Outcome::State { state, status, stored: true }, due)
            }
            Put::Absorbed(terminal) => {
                let due = terminal.fresh_until;
                (Outcome::State { state: terminal, status, stored: false }, due)
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change below is complete before anything that could panic.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Ends the lingering interest whose time is over.
    fn sweep(&mut self, now: Instant) {
        for key in self.schedule.sweep(now) {
            self.pictures.remove(&key);
        }
    }

    /// The upstream is back: what failed with it may be asked at once.
    fn forgive(&mut self, now: Instant) {
        let barred: Vec<TaskKey> =
            self.schedule.queued().filter(|key| self.setbacks.contains_key(*key)).cloned().collect();
        for key in barred {
            self.schedule.hasten(&key, now);
        }
        self.setbacks.invalidate_all();
    }
}

/// Makes sure that a flight lands, whatever becomes of it.
struct Landing {
    desk: Arc<Desk>,
    key: TaskKey,
    pass: Pass,
    result: Option<Result<Snapshot, Failure>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            tracing::error!(task = %self.key, "a flight broke off without a result; please report this");
            Err(Failure::Unreachable)
        });
        self.desk.land(&self.key, self.pass, result);
    }
}
