//! Owns what the coordinator's lock guards: the schedule, the pictures, the remembered failures and the cancellations
//! that wait. Each change is complete before the lock is given back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::picture::{FlightResult, Picture};
use crate::core::cause::Cause;
use crate::core::failure::Failure;
use crate::core::grant::Client;
use crate::core::ports::Reply;
use crate::core::schedule::Schedule;
use crate::core::state::State;
use crate::core::store::{Held, Store};
use crate::core::task::{ByKey, TaskKey};

/// The answer to a cancellation that was sent, when it comes.
pub(super) type CancelResult = oneshot::Receiver<Result<Reply, Failure>>;

/// A cancellation that waits for a permit. It is told once it is sent; one whose client has left is skipped.
pub(super) struct QueuedCancel {
    pub(super) key: TaskKey,
    pub(super) client: Client,
    pub(super) sent: oneshot::Sender<CancelResult>,
    /// The request that asks for it: log lines about it name that.
    pub(super) cause: Cause,
}

pub(super) struct Book {
    pub(super) schedule: Schedule,
    /// One for every key in the schedule.
    pub(super) pictures: HashMap<TaskKey, Picture, ByKey>,
    /// Remembered failures; outlives interest, so that asking again does not undo the back-off.
    pub(super) backoffs: Cache<TaskKey, Backoff, ByKey>,
    /// Cancellations that wait for their turn and a permit.
    pub(super) cancels: VecDeque<QueuedCancel>,
    /// How many flights have started since the last cancellation was sent.
    pub(super) flights_since_cancel: usize,
    /// When the driver looks next; `None`: when rung.
    pub(super) alarm: Option<Instant>,
    /// When the gate opened last: waiting before that was for the gate, not for a turn.
    pub(super) opened: Option<Instant>,
    /// Whether it is too late to wait for a flight.
    pub(super) closed: bool,
}

impl Book {
    /// An empty book. It remembers as many failures as there may be tasks.
    pub(super) fn new(max_tasks: usize) -> Self {
        Self {
            schedule: Schedule::default(),
            pictures: HashMap::default(),
            backoffs: Cache::builder()
                .max_capacity(max_tasks as u64)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(ByKey::default()),
            cancels: VecDeque::new(),
            flights_since_cancel: usize::MAX,
            alarm: None,
            opened: None,
            closed: false,
        }
    }

    /// Ends the lingering interest whose time is over.
    pub(super) fn sweep(&mut self, now: Instant) {
        for key in self.schedule.sweep(now) {
            self.pictures.remove(&key);
        }
    }

    /// Forgets what is known of a key. A flight under way still answers those who wait, and is not kept.
    pub(super) fn forget(&mut self, store: &Store, key: &TaskKey, now: Instant) {
        store.remove(key);
        self.backoffs.invalidate(key);
        if let Some(picture) = self.pictures.get_mut(key) {
            picture.outdate();
        }
        self.schedule.hasten(key, now);
    }

    /// Drops the picture of a key that nobody wants and no flight is to bring.
    pub(super) fn drop_unwanted(&mut self, key: &TaskKey) -> Option<Picture> {
        if self.schedule.contains(key) { None } else { self.pictures.remove(key) }
    }

    /// The upstream is back: what failed with it may be asked at once.
    pub(super) fn forgive(&mut self, now: Instant) {
        let barred: Vec<TaskKey> =
            self.schedule.queued().filter(|key| self.backoffs.contains_key(*key)).cloned().collect();
        for key in barred {
            self.schedule.hasten(&key, now);
        }
        self.backoffs.invalidate_all();
    }

    /// A task is over: kept, told to everybody, and not asked about again.
    pub(super) fn end(&mut self, store: &Store, key: &TaskKey, state: &Arc<State>, held: Held) {
        let status = state.snapshot.status.as_u16();
        store.put(key, state, held, state.snapshot.fetched);
        self.backoffs.invalidate(key);
        if let Some(picture) = self.pictures.get_mut(key) {
            picture.publish(FlightResult::State { state: Arc::clone(state), status, stored: true });
        }
        self.schedule.reschedule(key, state.fresh_until);
    }
}
