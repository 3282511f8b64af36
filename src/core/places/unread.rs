//! Owns the bytes that answers hold until their clients have read them. A body that many answers share counts once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::core::grant::Client;

/// The bytes of all connections.
#[derive(Debug, Default)]
pub(super) struct Unread {
    all: Bodies,
    /// By the number of the connection.
    places: HashMap<u64, Held>,
    clients: HashMap<Client, Share>,
    sizes: BTreeSet<(u64, Client)>,
    next: u64,
}

/// Bodies, each of which counts once.
#[derive(Debug, Default)]
struct Bodies {
    /// By the address of their first byte: length, and how many answers hold them.
    held: HashMap<usize, (u64, u32)>,
    bytes: u64,
}

/// The bytes that one connection's answers hold.
#[derive(Debug)]
struct Held {
    client: Client,
    /// The number of its oldest piece.
    since: u64,
    bodies: Vec<usize>,
}

/// The bytes that one client's connections hold.
#[derive(Debug, Default)]
struct Share {
    bodies: Bodies,
    /// The connections, the one that has waited longest first.
    places: BTreeMap<u64, u64>,
}

impl Bodies {
    fn add(&mut self, body: usize, length: u64) {
        let (_, count) = self.held.entry(body).or_insert((length, 0));
        *count += 1;
        if *count == 1 {
            self.bytes += length;
        }
    }

    fn remove(&mut self, body: usize) {
        let Some((length, count)) = self.held.get_mut(&body) else { return };
        *count -= 1;
        if *count == 0 {
            self.bytes -= *length;
            self.held.remove(&body);
        }
    }
}

impl Unread {
    /// The bytes that are held, each body once.
    pub(super) fn total(&self) -> u64 {
        self.all.bytes
    }

    /// The bytes that a client's connections hold.
    pub(super) fn of(&self, client: &Client) -> u64 {
        self.clients.get(client).map_or(0, |share| share.bodies.bytes)
    }

    /// The client whose connections hold most, and its connection that has waited longest.
    pub(super) fn largest(&self) -> Option<(u64, &Client, u64)> {
        let (bytes, client) = self.sizes.last()?;
        let (_, place) = self.clients.get(client)?.places.first_key_value()?;
        Some((*bytes, client, *place))
    }

    /// A connection holds a body.
    pub(super) fn hold(&mut self, place: u64, client: &Client, body: usize, length: u64) {
        self.next += 1;
        let since = self.next;
        let held = self.places.entry(place).or_insert_with(|| Held {
            client: client.clone(),
            since,
            bodies: Vec::new(),
        });
        held.bodies.push(body);
        let (client, since) = (held.client.clone(), held.since);
        self.all.add(body, length);
        self.share(&client, |share| {
            share.bodies.add(body, length);
            share.places.insert(since, place);
        });
    }

    /// A connection gives back the body that it took last.
    pub(super) fn release_last(&mut self, place: u64) {
        let Some(held) = self.places.get_mut(&place) else { return };
        if held.bodies.len() <= 1 {
            self.release(place);
        } else if let Some(body) = held.bodies.pop() {
            let client = held.client.clone();
            self.all.remove(body);
            self.share(&client, |share| share.bodies.remove(body));
        }
    }

    /// A connection holds nothing any more.
    pub(super) fn release(&mut self, place: u64) {
        let Some(held) = self.places.remove(&place) else { return };
        for body in &held.bodies {
            self.all.remove(*body);
        }
        self.share(&held.client, |share| {
            held.bodies.iter().for_each(|body| share.bodies.remove(*body));
            share.places.remove(&held.since);
        });
    }

    fn share(&mut self, client: &Client, change: impl FnOnce(&mut Share)) {
        let share = self.clients.entry(client.clone()).or_default();
        let before = share.bodies.bytes;
        change(share);
        let after = share.bodies.bytes;
        if share.places.is_empty() {
            self.clients.remove(client);
        } else {
            self.sizes.insert((after, client.clone()));
        }
        if before != after {
            self.sizes.remove(&(before, client.clone()));
        }
    }
}
