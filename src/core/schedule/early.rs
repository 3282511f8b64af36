//! Owns the keys that may be requested before they are due, by the time from which on: a plan that was made when the
//! budget was short does not hold a token back that nobody else needs.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::core::task::{ByKey, TaskKey};

#[derive(Debug, Default)]
pub(super) struct Early {
    from: HashMap<TaskKey, Instant, ByKey>,
    keys: BTreeSet<(Instant, TaskKey)>,
}

impl Early {
    pub(super) fn insert(&mut self, key: &TaskKey, from: Instant) {
        self.remove(key);
        self.from.insert(key.clone(), from);
        self.keys.insert((from, key.clone()));
    }

    pub(super) fn remove(&mut self, key: &TaskKey) {
        if let Some((key, from)) = self.from.remove_entry(key) {
            self.keys.remove(&(from, key));
        }
    }

    /// The time from which the first of them may be requested.
    pub(super) fn first(&self) -> Option<Instant> {
        self.keys.first().map(|(from, _)| *from)
    }

    /// Those that may be requested, the one that has waited longest first.
    pub(super) fn until(&self, now: Instant) -> impl Iterator<Item = &TaskKey> {
        self.keys.iter().take_while(move |(from, _)| *from <= now).map(|(_, key)| key)
    }
}
