//! Owns the places in flight, and which clients have taken as many as they may.
//!
//! A client may have about as many keys in flight as places are left: a dynamic threshold, as switches use it for
//! the memory that their ports share (Choudhury and Hahne, 1998). One client alone takes half of the places, a
//! second one half of the rest, and somebody who comes then finds one.

use std::collections::HashMap;

use crate::core::grant::Client;

/// The keys in flight, by the client in whose turn each was started.
#[derive(Debug)]
pub(super) struct InFlight {
    max: usize,
    all: usize,
    of: HashMap<Client, usize>,
}

impl InFlight {
    pub(super) fn new(max: usize) -> Self {
        Self { max, all: 0, of: HashMap::new() }
    }

    /// A key is started in a client's turn.
    pub(super) fn start(&mut self, client: &Client) {
        self.all += 1;
        *self.of.entry(client.clone()).or_default() += 1;
    }

    /// A key that was started in a client's turn has landed.
    pub(super) fn land(&mut self, client: &Client) {
        self.all = self.all.saturating_sub(1);
        if let Some(count) = self.of.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(client);
            }
        }
    }

    /// The clients that may start no further key now.
    pub(super) fn full(&self) -> impl Iterator<Item = &Client> {
        self.of.keys().filter(|client| self.is_full(client))
    }

    /// Tells whether a client may start no further key now.
    pub(super) fn is_full(&self, client: &Client) -> bool {
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
            let count = (1..=64).find(|_| {
                in_flight.start(&client);
                in_flight.is_full(&client)
            });
            assert_eq!(count, Some(takes), "{name}");
        }
        assert_eq!(in_flight.all, 63, "one is left");
        in_flight.start(&named("f"));
        assert!(["a", "b", "c", "d", "e", "f"].iter().all(|name| in_flight.is_full(&named(name))));
        for _ in 0..33 {
            in_flight.land(&named("a"));
        }
        assert_eq!(in_flight.full().count(), 0, "{in_flight:?}");
    }

    #[test]
    fn few_places_are_used() {
        let mut in_flight = InFlight::new(2);
        for is_full in [false, true] {
            in_flight.start(&named("a"));
            assert_eq!(in_flight.is_full(&named("a")), is_full);
        }
        let mut in_flight = InFlight::new(1);
        in_flight.start(&named("a"));
        assert_eq!(in_flight.full().collect::<Vec<_>>(), [&named("a")]);
        in_flight.land(&named("a"));
        assert!(in_flight.of.is_empty() && in_flight.full().next().is_none());
    }
}
