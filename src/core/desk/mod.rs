//! Owns the refreshing: interest comes in, flights go out, what they bring is published and kept.
//!
//! One lock, the book, held for a few map operations and never across an await. Inside it the budget's
//! lock and the store may be used, never the other way round. A flight is a task of its own: nobody's
//! departure can cancel it, and its landing happens even if it panics.

mod cancel;
mod flights;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(in crate::core) use cancel::Cancellation;
use cancel::Wish;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
pub use survey::{Line, Next};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::core::budget::Budget;
use crate::core::chronicle::Chronicle;
use crate::core::grant::{Client, Grant};
use crate::core::interest::{Interest, Seat};
use crate::core::pacing::Pacing;
use crate::core::picture::Picture;
use crate::core::ports::{Failure, Source};
use crate::core::schedule::Schedule;
use crate::core::setback::Setback;
use crate::core::snapshot::{Retention, State};
use crate::core::store::{Held, Store};
use crate::core::tally::Tally;
use crate::core::task::{ByKey, TaskKey};
use crate::lifecycle::Lifecycle;

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
pub(in crate::core) struct Desk {
    pub(in crate::core) store: Store,
    pub(in crate::core) policy: Policy,
    pub(in crate::core) tally: Tally,
    pub(in crate::core) chronicle: Chronicle,
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
    pictures: HashMap<TaskKey, Picture, ByKey>,
    /// Remembered failures; outlives interest, so that asking again does not undo the back-off.
    setbacks: Cache<TaskKey, Setback, ByKey>,
    /// Cancellations that wait for their turn and a permit.
    cancels: VecDeque<Wish>,
    /// How many flights have started since the last cancellation was sent.
    flights_since_cancel: usize,
    /// When the driver looks next; `None`: when rung.
    alarm: Option<Instant>,
    /// When the gate opened last: waiting before that was for the gate, not for a turn.
    opened: Option<Instant>,
    /// Whether it is too late to wait for a flight.
    closed: bool,
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

/// The tasks that are to be asked about.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Those that are not due yet.
    pub waiting: usize,
    /// Those that are due, and wait for the budget or the gate.
    pub due: usize,
}

/// What a client that asks for a refresh gets.
pub(in crate::core) enum Joined {
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
    /// The gateway stops.
    ShuttingDown,
    /// The upstream failed: for this task, or for all.
    Upstream(Failure),
}

impl Reason {
    /// Whether it is the same trouble, whatever its figures.
    pub(in crate::core) fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Upstream(one), Self::Upstream(two)) => {
                std::mem::discriminant(&one) == std::mem::discriminant(&two)
            }
            _ => self == other,
        }
    }
}

/// When a refresh would start.
#[derive(Debug, Clone, Copy)]
pub(in crate::core) struct Forecast {
    pub(in crate::core) start: Instant,
    pub(in crate::core) reason: Reason,
}

impl Desk {
    pub(in crate::core) fn new(
        policy: Policy,
        store: Store,
        budget: Budget,
        source: Arc<dyn Source>,
        lifecycle: Lifecycle,
    ) -> Self {
        let book = Book {
            schedule: Schedule::default(),
            pictures: HashMap::default(),
            setbacks: Cache::builder()
                .max_capacity(policy.max_tasks as u64)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(ByKey::default()),
            cancels: VecDeque::new(),
            flights_since_cancel: usize::MAX,
            alarm: None,
            opened: None,
            closed: false,
        };
        Self {
            store,
            policy,
            tally: Tally::default(),
            chronicle: Chronicle::default(),
            budget,
            source,
            lifecycle,
            book: Mutex::new(book),
            sooner: Notify::new(),
            lag: AtomicU64::new(0),
        }
    }

    /// Registers interest. `linger` is how long it outlives a client that leaves without an answer.
    pub(in crate::core) fn join(self: &Arc<Self>, grant: &Grant, linger: Option<Duration>) -> Joined {
        let book = self.book();
        // Under the lock: between the caller's look and this one a flight may have landed.
        let held = self.store.held(grant.key());
        if let Some(state) = held.fresh(Instant::now()) {
            return Joined::Fresh(Arc::clone(state));
        }
        self.seat(book, &held, grant, linger).map_or(Joined::Full, Joined::Seat)
    }

    /// Registers interest that lasts, however fresh the state is. `None` where too many tasks have some.
    pub(in crate::core) fn watch(self: &Arc<Self>, grant: &Grant) -> Option<Seat> {
        let book = self.book();
        let held = self.store.held(grant.key());
        self.seat(book, &held, grant, None)
    }

    fn seat(
        self: &Arc<Self>,
        mut book: MutexGuard<'_, Book>,
        held: &Held,
        grant: &Grant,
        linger: Option<Duration>,
    ) -> Option<Seat> {
        let (key, client) = (grant.key(), grant.client());
        let now = Instant::now();
        book.sweep(now);
        let collapsed = book.schedule.contains(key);
        if !collapsed && book.schedule.len() >= self.policy.max_tasks {
            self.tally.too_many_tasks.add();
            return None;
        }
        let known = held.newest().map_or(now, |state| state.fresh_until);
        let barred = book.setbacks.get(key).map_or(known, |setback| setback.until);
        book.schedule.want(key, client, known.max(barred), now);
        let closed = book.closed;
        let picture = book.pictures.entry(key.clone()).or_insert_with(Picture::new);
        picture.ask();
        if closed {
            picture.close();
        }
        let (frames, flight) = (picture.subscribe(), picture.answering_flight());
        self.dispatch_beside(&mut book, now);
        drop(book);
        // Last: its end takes the lock, so nothing that could panic may come between.
        let interest = Interest::new(Arc::clone(self), key.clone(), client.clone(), linger);
        Some(Seat { frames, flight, known_before: held.has_stand_in(now), collapsed, interest })
    }

    /// Whether something is known of a key, or somebody is interested in it.
    pub(in crate::core) fn knows(&self, key: &TaskKey) -> bool {
        self.store.held(key).newest().is_some() || self.book().schedule.contains(key)
    }

    /// Gives back interest; it lingers for `linger`.
    pub(in crate::core) fn release(&self, key: &TaskKey, client: &Client, linger: Option<Duration>) {
        // Somebody who never comes back costs one entry here for a while: bounded like the tasks.
        const LINGERING_PER_TASK: usize = 4;
        let mut book = self.book();
        // Many may leave at once, with what they wanted.
        if linger.is_none() && book.schedule.release_one_of_several(key, client) {
            return;
        }
        let now = Instant::now();
        let room = book.schedule.lingering() < self.policy.max_tasks.saturating_mul(LINGERING_PER_TASK);
        let until = linger.filter(|_| room).map(|linger| now + linger);
        book.schedule.release(key, client, until, now);
        if let Some(ended) = book.drop_unwanted(key).and_then(|picture| picture.ended()) {
            self.tally.last_watcher.observe(now.saturating_duration_since(ended));
        }
    }

    /// When the refresh of a key would start for this client.
    pub(in crate::core) fn forecast(&self, key: &TaskKey, client: &Client, now: Instant) -> Forecast {
        if self.lifecycle.is_stopping() {
            return Forecast { start: now, reason: Reason::ShuttingDown };
        }
        let mut book = self.book();
        if book.schedule.in_flight(key) {
            // It has started; where that is not enough, the upstream is slow.
            return Forecast { start: now, reason: Reason::Upstream(Failure::TimedOut) };
        }
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
    pub(in crate::core) fn lag(&self) -> Duration {
        Duration::from_millis(self.lag.load(Ordering::Relaxed))
    }

    /// What is held because somebody is interested.
    pub(in crate::core) fn census(&self) -> Census {
        let book = self.book();
        Census {
            tasks: book.schedule.len(),
            pictures: book.pictures.len(),
            lingering: book.schedule.lingering(),
        }
    }

    /// The tasks that are to be asked about. Walks over all of them.
    pub(in crate::core) fn queue(&self) -> Queue {
        let (queued, due) = self.book().schedule.backlog(Instant::now());
        Queue { waiting: queued - due, due }
    }

    /// Forgets a task. A flight under way still answers those who wait, and is not kept.
    pub(in crate::core) fn purge(&self, key: &TaskKey) {
        self.book().forget(&self.store, key, Instant::now());
        self.nudge();
    }

    /// The process ends: whoever waits for a flight is answered with what there is.
    pub(in crate::core) fn close(&self) {
        let mut book = self.book();
        book.closed = true;
        book.pictures.values_mut().for_each(Picture::close);
    }

    /// Makes the driver look at once.
    pub(in crate::core) fn nudge(&self) {
        self.sooner.notify_one();
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

    /// Forgets what is known of a key. A flight under way still answers those who wait, and is not kept.
    fn forget(&mut self, store: &Store, key: &TaskKey, now: Instant) {
        store.remove(key);
        self.setbacks.invalidate(key);
        if let Some(picture) = self.pictures.get_mut(key) {
            picture.outdate();
        }
        self.schedule.hasten(key, now);
    }

    /// Drops the picture of a key that nobody wants and no flight is to bring.
    fn drop_unwanted(&mut self, key: &TaskKey) -> Option<Picture> {
        if self.schedule.contains(key) { None } else { self.pictures.remove(key) }
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
