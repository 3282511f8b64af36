//! Owns the holdings: how many keys each client has interest in, and which client has the most.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::core::grant::Client;
use crate::core::task::TaskKey;

/// How many keys are looked at for one that can give way: the newest, and as many from a random place on.
const LOOKED_AT: usize = 64;

/// The keys of each client, by the number of their interest: the newest has the largest.
#[derive(Default)]
pub(super) struct Holdings {
    next: u64,
    clients: HashMap<Client, BTreeMap<u64, TaskKey>>,
    sizes: BTreeSet<(usize, Client)>,
}

/// Without the number of the next interest, which is no holding.
impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holdings").field("clients", &self.clients).field("sizes", &self.sizes).finish()
    }
}

impl Holdings {
    /// Adds a key to a client's holding, and returns the number of the interest.
    pub(super) fn insert(&mut self, client: &Client, key: &TaskKey) -> u64 {
        self.next += 1;
        let number = self.next;
        self.change(client, |keys| {
            keys.insert(number, key.clone());
        });
        number
    }

    /// Removes an interest from a client's holding.
    pub(super) fn remove(&mut self, client: &Client, number: u64) {
        self.change(client, |keys| {
            keys.remove(&number);
        });
    }

    /// The number of keys that a client has interest in.
    pub(super) fn of(&self, client: &Client) -> usize {
        self.clients.get(client).map_or(0, BTreeMap::len)
    }

    /// The largest holder, and the size of its holding.
    pub(super) fn largest(&self) -> Option<(usize, &Client)> {
        self.sizes.last().map(|(size, client)| (*size, client))
    }

    /// Keys of a client that may give way: the newest first, then some from a random place on. A few and not all: the
    /// search is made under a lock.
    pub(super) fn candidates(&self, client: &Client) -> impl Iterator<Item = &TaskKey> {
        let keys = self.clients.get(client);
        let newest = keys.into_iter().flat_map(|keys| keys.values().rev().take(LOOKED_AT));
        let others = keys.into_iter().flat_map(|keys| {
            let first = keys.keys().next().copied().unwrap_or(0);
            let last = keys.keys().next_back().copied().unwrap_or(0);
            keys.range(fastrand::u64(first..=last)..).map(|(_, key)| key).take(LOOKED_AT)
        });
        newest.chain(others)
    }

    fn change(&mut self, client: &Client, change: impl FnOnce(&mut BTreeMap<u64, TaskKey>)) {
        let keys = self.clients.entry(client.clone()).or_default();
        let before = keys.len();
        change(keys);
        let after = keys.len();
        if before == after {
            return;
        }
        if after == 0 {
            self.clients.remove(client);
        } else {
            self.sizes.insert((after, client.clone()));
        }
        if before > 0 {
            self.sizes.remove(&(before, client.clone()));
        }
    }
}
