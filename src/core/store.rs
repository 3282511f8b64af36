//! Owns the memory of states: bounded in bytes, oldest use first out.
//!
//! moka bounds and evicts; the deadlines are ours, in the states themselves, because moka's clock is
//! not tokio's. Missing states live in a small store of their own, so that random ids cannot push out
//! finished tasks. Eviction is by last use, not by frequency: a state just stored must be found.
//!
//! Only the coordinator writes, under its lock; readers take no lock of ours.

use std::sync::Arc;

use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::metric::Counter;
use super::snapshot::Phase;
use super::state::State;
use super::task::{ByKey, TaskKey};

/// What an entry weighs beside its body and path: both maps' own bookkeeping, measured and rounded up.
const OVERHEAD: usize = 1000;
/// The part of `max_bytes` that missing states may use.
const MISSING_PART: u64 = 16;

/// Bounded memory of states.
#[derive(Debug)]
pub struct Store {
    known: Cache<TaskKey, Arc<State>, ByKey>,
    missing: Cache<TaskKey, Arc<State>, ByKey>,
    known_evicted: Arc<Counter>,
    missing_evicted: Arc<Counter>,
}

/// How full a store is.
#[derive(Debug, Clone, Copy)]
pub struct Fill {
    /// States held.
    pub entries: u64,
    /// What they weigh.
    pub bytes: u64,
    /// What they may weigh.
    pub max_bytes: u64,
    /// States that had to go to make room, so far.
    pub evicted: u64,
}

/// What is held of one task.
#[derive(Debug)]
pub struct Held {
    known: Option<Arc<State>>,
    missing: Option<Arc<State>>,
}

/// What became of a state that was put into the store.
#[derive(Debug)]
pub enum Put {
    /// It is now what is known of the task.
    Stored,
    /// A terminal state stands and absorbs it; this is the one to hand out.
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

    /// The state to hand out without asking again, if there is one.
    pub fn fresh(&self, key: &TaskKey, now: Instant) -> Option<Arc<State>> {
        let is_fresh = |state: &Arc<State>| state.is_fresh(now);
        self.known.get(key).filter(is_fresh).or_else(|| self.missing.get(key).filter(is_fresh))
    }

    /// The last known state that may stand in for an answer that cannot be had.
    pub fn stand_in(&self, key: &TaskKey, now: Instant) -> Option<Arc<State>> {
        self.known.get(key).filter(|state| state.is_usable(now))
    }

    /// The terminal state that nothing may take the place of, if there is one.
    pub fn absorbing(&self, key: &TaskKey, now: Instant) -> Option<Arc<State>> {
        self.known.get(key).filter(|known| known.absorbs(now))
    }

    /// All that is held of a task, for who has several questions.
    pub fn held(&self, key: &TaskKey) -> Held {
        Held { known: self.known.get(key), missing: self.missing.get(key) }
    }

    /// Keeps a new state, unless a terminal one absorbs it. `held` is what is held of the task now.
    pub fn put(&self, key: &TaskKey, state: &Arc<State>, held: Held, now: Instant) -> Put {
        let Held { known, missing } = held;
        let is_live = known.as_ref().is_some_and(|known| known.snapshot.phase == Phase::Live);
        if state.snapshot.phase != Phase::Terminal
            && let Some(terminal) = known.filter(|known| known.absorbs(now))
        {
            return Put::Absorbed(terminal);
        }
        if state.snapshot.phase == Phase::Missing {
            // Who was told that a task is gone must not see it run again: only what is finished can
            // still stand in.
            if is_live {
                self.known.invalidate(key);
            }
            self.missing.insert(key.clone(), Arc::clone(state));
        } else {
            // To invalidate what is not there costs something too.
            if missing.is_some() {
                self.missing.invalidate(key);
            }
            self.known.insert(key.clone(), Arc::clone(state));
        }
        Put::Stored
    }

    /// How full it is: of tasks that are known, and of those that are missing.
    pub fn fill(&self) -> [Fill; 2] {
        [(&self.known, &self.known_evicted), (&self.missing, &self.missing_evicted)].map(
            |(cache, evicted)| {
                // What was put last is counted late otherwise.
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

    /// Forgets a task.
    pub fn remove(&self, key: &TaskKey) {
        self.known.invalidate(key);
        self.missing.invalidate(key);
    }
}

impl Held {
    /// The state to hand out without asking again, if there is one.
    pub fn fresh(&self, now: Instant) -> Option<&Arc<State>> {
        [&self.known, &self.missing].into_iter().flatten().find(|state| state.is_fresh(now))
    }

    /// Whether there is a state that may stand in for an answer that cannot be had.
    pub fn has_stand_in(&self, now: Instant) -> bool {
        self.known.as_ref().is_some_and(|state| state.is_usable(now))
    }

    /// The newest state, however old: it tells when the task was first seen and is next due.
    pub fn newest(&self) -> Option<&Arc<State>> {
        // The last of equals counts: what is known.
        [&self.missing, &self.known].into_iter().flatten().max_by_key(|state| state.snapshot.fetched)
    }
}

fn cache(max_bytes: u64, evicted: &Arc<Counter>) -> Cache<TaskKey, Arc<State>, ByKey> {
    let evicted = Arc::clone(evicted);
    Cache::builder()
        .max_capacity(max_bytes)
        .weigher(|key: &TaskKey, state: &Arc<State>| {
            let bytes = state.snapshot.body.len() + key.path().len() + state.aliases.size() + OVERHEAD;
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
