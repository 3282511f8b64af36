//! Owns the book, which the coordinator's lock guards: the schedule, the pictures, the backoffs and the
//! one-off requests that wait. Each change is complete before the lock is released.

use std::collections::HashMap;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::one_offs::OneOffs;
use super::picture::{FlightResult, Picture};
use crate::core::budget::Flow;
use crate::core::failure::Failure;
use crate::core::grant::Client;
use crate::core::pacing::{Load, Look, Pacer, Plan};
use crate::core::schedule::Schedule;
use crate::core::state::State;
use crate::core::store::{Held, Store};
use crate::core::task::{ByKey, TaskKey};

pub(super) struct Book {
    pub(super) schedule: Schedule,
    /// Plans when a live task is due again.
    pub(super) pacer: Pacer,
    /// One picture for every key in the schedule.
    pub(super) pictures: HashMap<TaskKey, Picture, ByKey>,
    /// Backoffs outlive interest, so that a client cannot end one by asking again.
    pub(super) backoffs: Cache<TaskKey, Backoff, ByKey>,
    /// The requests that are no flights, and wait for their turn and a permit.
    pub(super) one_offs: OneOffs,
    /// Wakes the flight of a key that waits for another replica's; one for each flight of a replica.
    pub(super) hints: HashMap<TaskKey, oneshot::Sender<()>, ByKey>,
    /// The time at which the driver dispatches next; `None` where only a notification wakes it.
    pub(super) alarm: Option<Instant>,
    /// The time at which the gate opened last: a key that waited before that waited for the gate, not for a
    /// turn.
    pub(super) opened: Option<Instant>,
    /// Whether the gateway shuts down, so that no client may wait for a flight any more.
    pub(super) closed: bool,
}

impl Book {
    /// An empty book. It holds as many backoffs as there may be tasks.
    pub(super) fn new(pacer: Pacer, max_tasks: usize, max_in_flight: usize) -> Self {
        Self {
            schedule: Schedule::new(max_in_flight),
            pacer,
            pictures: HashMap::default(),
            backoffs: Cache::builder()
                .max_capacity(max_tasks as u64)
                .eviction_policy(EvictionPolicy::lru())
                .build_with_hasher(ByKey::default()),
            one_offs: OneOffs::new(),
            hints: HashMap::default(),
            alarm: None,
            opened: None,
            closed: false,
        }
    }

    /// The load of a client, on a budget with this flow.
    pub(super) fn load(&self, client: &Client, flow: Flow) -> Load {
        load(&self.schedule, client, flow)
    }

    /// Notes a look, and plans the next one if the task is live.
    pub(super) fn looked(&mut self, key: &TaskKey, look: Look<'_>, flow: Flow) -> Option<Plan> {
        let Self { schedule, pacer, .. } = self;
        pacer.looked(look, schedule.clients_of(key), |client| load(schedule, client, flow))
    }

    /// Ends the lingering interest whose time is over.
    pub(super) fn sweep(&mut self, now: Instant) {
        for key in self.schedule.sweep(now) {
            self.pictures.remove(&key);
        }
    }

    /// Forgets a key's states and backoff. A flight under way still answers its waiters, but its state is not
    /// stored.
    pub(super) fn forget(&mut self, store: &Store, key: &TaskKey, now: Instant) {
        store.remove(key);
        self.backoffs.invalidate(key);
        if let Some(picture) = self.pictures.get_mut(key) {
            picture.outdate();
        }
        self.schedule.hasten(key, now);
    }

    /// A receiver that completes when another replica has news of a key, until its flight lands.
    pub(super) fn expect_hint(&mut self, key: &TaskKey) -> oneshot::Receiver<()> {
        let (hint, expected) = oneshot::channel();
        self.hints.insert(key.clone(), hint);
        expected
    }

    /// Takes a place for a client whose holding is small. False where it has to be turned away.
    pub(super) fn make_room(&mut self, newcomer: &Client) -> bool {
        let Some(key) = self.schedule.give_way(newcomer) else { return false };
        if let Some(picture) = self.pictures.remove(&key) {
            picture.evict();
        }
        true
    }

    /// Ends a lingering interest for a client whose holding is small. False where its own may not linger.
    pub(super) fn end_lingering_of_largest(&mut self, newcomer: &Client) -> bool {
        let Some(key) = self.schedule.end_lingering_of_largest(newcomer) else { return false };
        self.drop_unwanted(&key);
        true
    }

    /// Drops the picture of a key that has neither interest nor a flight.
    pub(super) fn drop_unwanted(&mut self, key: &TaskKey) -> Option<Picture> {
        if self.schedule.contains(key) { None } else { self.pictures.remove(key) }
    }

    /// Begins or lengthens the backoff of a key after a failure. Returns its end.
    pub(super) fn back_off(&mut self, key: &TaskKey, failure: Failure, now: Instant) -> Instant {
        let backoff = Backoff::after(self.backoffs.get(key), failure, now);
        self.backoffs.insert(key.clone(), backoff);
        backoff.until
    }

    /// Ends all backoffs, because the upstream is back, or the key is a new one: the tasks that failed are due at once.
    pub(super) fn forgive(&mut self, now: Instant) {
        let barred: Vec<TaskKey> =
            self.schedule.queued().filter(|key| self.backoffs.contains_key(*key)).cloned().collect();
        for key in barred {
            self.schedule.hasten(&key, now);
        }
        self.backoffs.invalidate_all();
    }

    /// Ends a task: stores the terminal state, publishes it, and schedules no refresh before it expires.
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

fn load(schedule: &Schedule, client: &Client, flow: Flow) -> Load {
    let (tasks, clients, all_tasks) = (schedule.tasks_of(client), schedule.clients(), schedule.len());
    Load { tasks, clients, all_tasks, flow }
}
