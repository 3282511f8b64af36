//! Owns the store of states: bounded in bytes, least recently used first out.
//!
//! moka bounds and evicts. The deadlines are kept in the states, because moka's clock is not tokio's. Missing
//! states, and refusals, have a small cache of their own, so that requests for random ids cannot evict finished tasks.
//! Eviction is by last use, not by frequency: a state that was just stored must be found.
//!
//! Only the coordinator writes, under its lock. Readers do not take that lock.

use std::sync::Arc;

use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::identity::Aliases;
use super::metric::Counter;
use super::snapshot::Phase;
use super::state::State;
use super::task::{ByKey, TaskKey};

/// The bytes of an entry beside its body and path: the overhead of both maps, measured and rounded up.
const OVERHEAD: usize = 1000;
/// Bodies larger than this are freed as soon as they are evicted, in bytes.
const LARGE: usize = 32 * 1024;
/// Missing states may use this part of `max_bytes`: one sixteenth.
const MISSING_PART: u64 = 16;

/// The states of all known tasks, bounded in bytes.
#[derive(Debug)]
pub struct Store {
    known: Cache<TaskKey, Arc<State>, ByKey>,
    missing: Cache<TaskKey, Arc<State>, ByKey>,
    known_evicted: Arc<Counter>,
    missing_evicted: Arc<Counter>,
}

/// The fill of one cache of the store.
#[derive(Debug, Clone, Copy)]
pub struct Fill {
    /// The number of states held.
    pub entries: u64,
    /// The bytes that the states use, overhead included.
    pub bytes: u64,
    /// The bytes that the states may use.
    pub max_bytes: u64,
    /// The number of states evicted so far to make room.
    pub evicted: u64,
}

/// The states held of one task.
#[derive(Debug)]
pub struct Held {
    known: Option<Arc<State>>,
    missing: Option<Arc<State>>,
}

/// The result of [`Store::put`].
#[derive(Debug)]
pub enum Put {
    /// The new state is stored.
    Stored,
    /// A terminal state absorbs the new one. This terminal state is the one to hand out.
    Absorbed(Arc<State>),
}

impl Store {
    /// Makes a store that holds at most `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        let part = max_bytes / MISSING_PART;
        let (known_evicted, missing_evicted) = (Arc::default(), Arc::default());
        Self {
            known: cache(max_bytes - part, &known_evicted),
            missing: cache(part, &missing_evicted),
            known_evicted,
            missing_evicted,
        }
    }

    /// The fresh state of the task, if there is one.
    pub fn fresh(&self, key: &TaskKey, now: Instant) -> Option<Arc<State>> {
        let is_fresh = |state: &Arc<State>| state.is_fresh(now);
        self.known.get(key).filter(is_fresh).or_else(|| self.missing.get(key).filter(is_fresh))
    }

    /// The last known state, if it may stand in when the upstream cannot answer.
    pub fn stand_in(&self, key: &TaskKey, now: Instant) -> Option<Arc<State>> {
        self.known.get(key).filter(|state| state.is_usable(now))
    }

    /// The terminal state of the task that has not expired, if there is one.
    pub fn absorbing(&self, key: &TaskKey, now: Instant) -> Option<Arc<State>> {
        self.known.get(key).filter(|known| known.absorbs(now))
    }

    /// All states held of a task, for callers that need more than one.
    pub fn held(&self, key: &TaskKey) -> Held {
        Held { known: self.known.get(key), missing: self.missing.get(key) }
    }

    /// Stores a new state, unless a terminal one absorbs it. `held` are the states held of the task now.
    pub fn put(&self, key: &TaskKey, state: &Arc<State>, held: Held, now: Instant) -> Put {
        let Held { known, missing } = held;
        let is_live = known.as_ref().is_some_and(|known| known.snapshot.phase == Phase::Live);
        if state.snapshot.phase != Phase::Terminal
            && let Some(terminal) = known.filter(|known| known.absorbs(now))
        {
            return Put::Absorbed(terminal);
        }
        if state.snapshot.phase.is_known() {
            // The invalidation of an absent key has a cost too.
            if missing.is_some() {
                self.missing.invalidate(key);
            }
            self.known.insert(key.clone(), Arc::clone(state));
        } else {
            // A client that was told that a task is gone must not see it run again: only a terminal state may
            // still stand in.
            if is_live && state.snapshot.phase == Phase::Missing {
                self.known.invalidate(key);
            }
            self.missing.insert(key.clone(), Arc::clone(state));
        }
        if state.snapshot.body.len() > LARGE {
            self.let_go();
        }
        Put::Stored
    }

    /// The fill of both caches: that of known states, and that of missing ones.
    pub fn fill(&self) -> [Fill; 2] {
        [(&self.known, &self.known_evicted), (&self.missing, &self.missing_evicted)].map(
            |(cache, evicted)| {
                // Otherwise moka counts the last insertions late.
                cache.run_pending_tasks();
                Fill {
                    entries: cache.entry_count(),
                    bytes: cache.weighted_size(),
                    max_bytes: cache.policy().max_capacity().unwrap_or(0),
                    evicted: evicted.get(),
                }
            },
        )
    }

    /// Frees what was evicted. moka evicts in batches, and frees through `crossbeam_epoch` in batches of 64 for each thread:
    /// for large bodies that is more memory than the store may hold.
    fn let_go(&self) {
        self.known.run_pending_tasks();
        self.missing.run_pending_tasks();
        // One pass retires the garbage, and the next ones free it.
        for _ in 0..3 {
            crossbeam_epoch::pin().flush();
        }
    }

    /// Weighs a state again, whose event is kept from now on. Under the coordinator's lock only: moka does not exclude
    /// a put between the look and the write.
    pub fn reweigh(&self, key: &TaskKey, state: &Arc<State>) {
        let cache = if state.snapshot.phase.is_known() { &self.known } else { &self.missing };
        cache.entry_by_ref(key).and_compute_with(|held| match held {
            Some(held) if Arc::ptr_eq(held.value(), state) => Op::Put(Arc::clone(state)),
            Some(_) | None => Op::Nop,
        });
    }

    /// Removes all states of a task.
    pub fn remove(&self, key: &TaskKey) {
        self.known.invalidate(key);
        self.missing.invalidate(key);
    }
}

impl Held {
    /// The fresh state of the task, if there is one.
    pub fn fresh(&self, now: Instant) -> Option<&Arc<State>> {
        [&self.known, &self.missing].into_iter().flatten().find(|state| state.is_fresh(now))
    }

    /// Whether a state may stand in when the upstream cannot answer.
    pub fn has_stand_in(&self, now: Instant) -> bool {
        self.known.as_ref().is_some_and(|state| state.is_usable(now))
    }

    /// The time at which the task was first seen, which is `now` for a new one, and its confirmed aliases.
    pub fn history(&self, now: Instant) -> (Instant, Aliases) {
        self.newest().map_or((now, Aliases::default()), |known| (known.first_seen, known.aliases.clone()))
    }

    /// The newest state, fresh or not. It tells when the task was first seen and when it is due.
    pub fn newest(&self) -> Option<&Arc<State>> {
        // Of two states with the same time `max_by_key` takes the last: the known one.
        [&self.missing, &self.known].into_iter().flatten().max_by_key(|state| state.snapshot.fetched)
    }
}

fn cache(max_bytes: u64, evicted: &Arc<Counter>) -> Cache<TaskKey, Arc<State>, ByKey> {
    let evicted = Arc::clone(evicted);
    Cache::builder()
        .max_capacity(max_bytes)
        .weigher(|key: &TaskKey, state: &Arc<State>| {
            let held = state.snapshot.body.len() + state.delivery.weight() + state.aliases.size();
            let bytes = held + key.path().len() + OVERHEAD;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        })
        .eviction_policy(EvictionPolicy::lru())
        .eviction_listener(move |_, _, cause| {
            if cause == RemovalCause::Size {
                evicted.add();
            }
        })
        .build_with_hasher(ByKey::default())
}
