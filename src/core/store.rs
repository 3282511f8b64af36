//! Owns the memory of states: bounded in bytes, oldest use first out.
//!
//! moka bounds and evicts; the deadlines are ours, in the states themselves, because moka's clock is
//! not tokio's. Missing states live in a small store of their own, so that random ids cannot push out
//! finished tasks. Eviction is by last use, not by frequency: a state just stored must be found.
//!
//! Only [`Desk`](super::desk::Desk) writes, under its lock; readers take no lock of ours.

use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::snapshot::{Phase, State};
use super::task::TaskKey;

/// What an entry weighs beside its body and path: both maps' own bookkeeping, measured and rounded up.
const OVERHEAD: usize = 640;
/// The part of `max_bytes` that missing states may use.
const MISSING_PART: u64 = 16;

/// Bounded memory of states.
#[derive(Debug)]
pub struct Store {
    known: Cache<TaskKey, Arc<State>>,
    missing: Cache<TaskKey, Arc<State>>,
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
        Self { known: cache(max_bytes - part), missing: cache(part) }
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

    /// The newest state held, however old: it tells when the task was first seen and is next due.
    pub fn newest(&self, key: &TaskKey) -> Option<Arc<State>> {
        let known = self.known.get(key);
        let missing = self.missing.get(key);
        match (known, missing) {
            (Some(a), Some(b)) if b.snapshot.fetched > a.snapshot.fetched => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        }
    }

    /// Keeps a new state, unless a terminal one absorbs it.
    pub fn put(&self, key: &TaskKey, state: &Arc<State>, now: Instant) -> Put {
        if state.snapshot.phase != Phase::Terminal
            && let Some(terminal) = self.absorbing(key, now)
        {
            return Put::Absorbed(terminal);
        }
        if state.snapshot.phase == Phase::Missing {
            // Who was told that a task is gone must not see it run again: only what is finished can
            // still stand in.
            if self.known.get(key).is_some_and(|known| known.snapshot.phase == Phase::Live) {
                self.known.invalidate(key);
            }
            self.missing.insert(key.clone(), Arc::clone(state));
        } else {
            self.missing.invalidate(key);
            self.known.insert(key.clone(), Arc::clone(state));
        }
        Put::Stored
    }

    /// How many states are held, and what they weigh in bytes; a moment behind, as moka counts.
    pub fn size(&self) -> (u64, u64) {
        let entries = self.known.entry_count() + self.missing.entry_count();
        (entries, self.known.weighted_size() + self.missing.weighted_size())
    }

    /// Forgets a task.
    pub fn remove(&self, key: &TaskKey) {
        self.known.invalidate(key);
        self.missing.invalidate(key);
    }
}

fn cache(max_bytes: u64) -> Cache<TaskKey, Arc<State>> {
    Cache::builder()
        .max_capacity(max_bytes)
        .weigher(|key: &TaskKey, state: &Arc<State>| {
            let bytes = state.snapshot.body.len() + key.path().len() + OVERHEAD;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        })
        .eviction_policy(EvictionPolicy::lru())
        .build()
}
