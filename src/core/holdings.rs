//! Owns the holdings of clients in something that is short, and which client has the most.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::grant::Client;

/// The number of things among which one is sought that can give way: the newest, and as many from a random place on.
const LOOKED_AT: usize = 64;

/// The things of each client, by their numbers: the newest has the largest.
pub(super) struct Holdings<T> {
    next: u64,
    clients: HashMap<Client, BTreeMap<u64, T>>,
    sizes: BTreeSet<(usize, Client)>,
}

impl<T> Default for Holdings<T> {
    fn default() -> Self {
        Self { next: 0, clients: HashMap::new(), sizes: BTreeSet::new() }
    }
}

/// Without the next number, which is no holding.
impl<T: fmt::Debug> fmt::Debug for Holdings<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holdings")
            .field("clients", &self.clients)
            .field("sizes", &self.sizes)
            .finish_non_exhaustive()
    }
}

impl<T> Holdings<T> {
    /// Adds to a client's holding, and returns the number.
    pub(super) fn insert(&mut self, client: &Client, thing: T) -> u64 {
        self.next += 1;
        let number = self.next;
        self.change(client, |things| {
            things.insert(number, thing);
        });
        number
    }

    /// Removes from a client's holding. False where it is not there.
    pub(super) fn remove(&mut self, client: &Client, number: u64) -> bool {
        let mut was_there = false;
        self.change(client, |things| was_there = things.remove(&number).is_some());
        was_there
    }

    /// The size of a client's holding.
    pub(super) fn of(&self, client: &Client) -> usize {
        self.clients.get(client).map_or(0, BTreeMap::len)
    }

    /// The number of clients that hold something.
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// The largest holder, and the size of its holding.
    pub(super) fn largest(&self) -> Option<(usize, &Client)> {
        self.sizes.last().map(|(size, client)| (*size, client))
    }

    /// The oldest thing of a client, with its number.
    pub(super) fn first(&self, client: &Client) -> Option<(u64, &T)> {
        self.clients.get(client)?.first_key_value().map(|(number, thing)| (*number, thing))
    }

    /// The things of a client, the oldest first.
    pub(super) fn oldest(&self, client: &Client) -> impl DoubleEndedIterator<Item = &T> {
        self.clients.get(client).into_iter().flat_map(BTreeMap::values)
    }

    /// Things of a client that may give way: the newest first, then some from a random place on. A few and not all: the
    /// search is made under a lock.
    pub(super) fn candidates(&self, client: &Client) -> impl Iterator<Item = &T> {
        let things = self.clients.get(client);
        let newest = things.into_iter().flat_map(|things| things.values().rev().take(LOOKED_AT));
        let others = things.into_iter().flat_map(|things| {
            let first = things.keys().next().copied().unwrap_or(0);
            let last = things.keys().next_back().copied().unwrap_or(0);
            things.range(fastrand::u64(first..=last)..).map(|(_, thing)| thing).take(LOOKED_AT)
        });
        newest.chain(others)
    }

    fn change(&mut self, client: &Client, change: impl FnOnce(&mut BTreeMap<u64, T>)) {
        let things = self.clients.entry(client.clone()).or_default();
        let before = things.len();
        change(things);
        let after = things.len();
        if after == 0 {
            self.clients.remove(client);
        }
        if before == after {
            return;
        }
        if after > 0 {
            self.sizes.insert((after, client.clone()));
        }
        if before > 0 {
            self.sizes.remove(&(before, client.clone()));
        }
    }
}
