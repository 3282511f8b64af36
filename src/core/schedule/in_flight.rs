//! Owns the places in flight, and which clients are barred from turns until a key lands.
//!
//! A client may have about as many keys in flight as places are left: a dynamic threshold, as switches use it for the memory
//! that their ports share (Choudhury and Hahne, 1998). One client alone takes half of the places, a second one half of the
//! rest, and somebody who comes then finds one.

use std::collections::{BTreeSet, HashMap};

use crate::core::grant::Client;

/// The keys in flight, by the client in whose turn each was started.
#[derive(Debug)]
pub(super) struct InFlight {
    max: usize,
    all: usize,
    of: HashMap<Client, usize>,
    barred: BTreeSet<Client>,
}

impl InFlight {
    pub(super) fn new(max: usize) -> Self {
        Self { max, all: 0, of: HashMap::new(), barred: BTreeSet::new() }
    }

    /// A key is started in a client's turn. Returns the clients that are barred from now on.
    pub(super) fn start(&mut self, client: &Client) -> Vec<Client> {
        self.all += 1;
        *self.of.entry(client.clone()).or_default() += 1;
        let is_new = |client: &&Client| self.is_full(client) && !self.barred.contains(*client);
        let full: Vec<Client> = self.of.keys().filter(is_new).cloned().collect();
        self.barred.extend(full.iter().cloned());
        full
    }

    /// A key that was started in a client's turn has landed. Returns the clients that are barred no more.
    pub(super) fn land(&mut self, client: &Client) -> Vec<Client> {
        self.all = self.all.saturating_sub(1);
        if let Some(count) = self.of.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(client);
            }
        }
        let free: Vec<Client> = self.barred.iter().filter(|client| !self.is_full(client)).cloned().collect();
        for client in &free {
            self.barred.remove(client);
        }
        free
    }

    fn is_full(&self, client: &Client) -> bool {
        let left = self.max.saturating_sub(self.all);
        self.of.get(client).is_some_and(|count| *count > left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Client {
        Client::Named(name.into())
    }

    #[test]
    fn one_client_takes_half_and_the_next_half_of_the_rest() {
        let mut in_flight = InFlight::new(64);
        for (name, takes) in [("a", 33), ("b", 16), ("c", 8), ("d", 4), ("e", 2)] {
            let client = named(name);
            let count = (1..=64).find(|_| in_flight.start(&client).contains(&client));
            assert_eq!(count, Some(takes), "{name}");
        }
        assert_eq!(in_flight.all, 63, "one is left");
        assert_eq!(in_flight.start(&named("f")), [named("f")]);
        let free: Vec<Client> = (0..33).flat_map(|_| in_flight.land(&named("a"))).collect();
        assert!(["a", "b", "c", "d", "e", "f"].iter().all(|name| free.contains(&named(name))), "{free:?}");
    }

    #[test]
    fn few_places_are_used() {
        let mut in_flight = InFlight::new(2);
        assert!(in_flight.start(&named("a")).is_empty());
        assert_eq!(in_flight.start(&named("a")), [named("a")]);
        let mut in_flight = InFlight::new(1);
        assert_eq!(in_flight.start(&named("a")), [named("a")]);
        assert_eq!(in_flight.land(&named("a")), [named("a")]);
        assert!(in_flight.of.is_empty() && in_flight.barred.is_empty());
    }
}
