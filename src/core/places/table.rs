//! Owns the table of a listener's connections, by whose they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::leave::{Leave, Manner};
use super::unread::Unread;
use crate::core::grant::Client;
use crate::core::holdings::Holdings;

/// Connections beyond the limit, whose first head may show that their client holds few. A quarter of a small limit.
const ON_PROBATION: usize = 64;
/// The connections of the largest holder among which one is sought to give way, its oldest and as many of its newest:
/// few, because the search is made under a lock.
const LOOKED_AT: usize = 256;

/// All connections.
#[derive(Debug)]
pub(super) struct Table {
    max: usize,
    max_on_probation: usize,
    max_unread: u64,
    next: u64,
    /// Connections with a place.
    admitted: usize,
    connections: HashMap<u64, Connection>,
    holdings: Holdings<u64>,
    /// Connections without a place, the oldest first, by the address of their peer.
    probation: BTreeMap<u64, Client>,
    unread: Unread,
}

#[derive(Debug)]
struct Connection {
    /// Whose it is, with its number among that client's: of a trusted proxy's, nobody's until its first request.
    holder: Option<(Client, u64)>,
    is_proxys: bool,
    is_admitted: bool,
    /// Long-polls, streams and plain GETs that wait for a refresh.
    waits: usize,
    leave: Arc<Leave>,
}

impl Table {
    pub(super) fn new(max: usize, max_unread: u64) -> Self {
        Self {
            max,
            max_on_probation: ON_PROBATION.min(max / 4).max(1),
            max_unread,
            next: 0,
            admitted: 0,
            connections: HashMap::new(),
            holdings: Holdings::default(),
            probation: BTreeMap::new(),
            unread: Unread::default(),
        }
    }

    /// A connection has come. Where there is no place for it, it has its first head to show whose it is.
    pub(super) fn open(&mut self, peer: &Client, is_proxys: bool, leave: &Arc<Leave>) -> u64 {
        self.next += 1;
        let id = self.next;
        let holder = (!is_proxys).then(|| (peer.clone(), self.holdings.insert(peer, id)));
        let is_admitted = self.admitted < self.max || (!is_proxys && self.give_way(peer));
        let leave = Arc::clone(leave);
        self.connections.insert(id, Connection { holder, is_proxys, is_admitted, waits: 0, leave });
        if is_admitted {
            self.admitted += 1;
        } else {
            self.probation.insert(id, peer.clone());
            self.bound_probation();
        }
        id
    }

    /// A connection's request is this client's. False where its client has to be turned away.
    pub(super) fn claim(&mut self, id: u64, client: &Client) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        if connection.leave.asked().is_some() {
            return true;
        }
        if connection.holder.as_ref().is_none_or(|(holder, _)| holder != client) {
            if let Some((holder, number)) = connection.holder.take() {
                self.holdings.remove(&holder, number);
            }
            connection.holder = Some((client.clone(), self.holdings.insert(client, id)));
        }
        if connection.is_admitted {
            return true;
        }
        if self.admitted >= self.max && !self.give_way(client) {
            // It is told so, and closed.
            if let Some(connection) = self.connections.get(&id) {
                connection.leave.ask(Manner::Politely);
            }
            return false;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_admitted = true;
            self.admitted += 1;
            self.probation.remove(&id);
        }
        true
    }

    pub(super) fn close(&mut self, id: u64) {
        self.unread.release(id);
        self.probation.remove(&id);
        let Some(connection) = self.connections.remove(&id) else { return };
        if connection.is_admitted {
            self.admitted -= 1;
        }
        if let Some((holder, number)) = connection.holder {
            self.holdings.remove(&holder, number);
        }
    }

    pub(super) fn wait(&mut self, id: u64, begins: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.waits = if begins { connection.waits + 1 } else { connection.waits.saturating_sub(1) };
        }
    }

    /// A connection's answer holds a body. False where there is no room for it.
    pub(super) fn hold(&mut self, id: u64, peer: &Client, body: usize, length: u64) -> bool {
        let holder = self.connections.get(&id).and_then(|connection| connection.holder.as_ref());
        let client = holder.map_or(peer, |(client, _)| client).clone();
        self.unread.hold(id, &client, body, length);
        while self.unread.total() > self.max_unread {
            let after = self.unread.of(&client);
            let victim = self.unread.largest().filter(|(bytes, ..)| *bytes > after).map(|(.., place)| place);
            let Some(victim) = victim else {
                self.unread.release_last(id);
                return false;
            };
            self.unread.release(victim);
            if let Some(connection) = self.connections.get(&victim) {
                connection.leave.ask(Manner::AtOnce);
            }
        }
        true
    }

    /// Everything that a connection's answers held is written.
    pub(super) fn written(&mut self, id: u64) {
        self.unread.release(id);
    }

    /// Finds a place for a client: one of the largest holder's, if the client's holding, the new connection included, is
    /// smaller, so that no two clients take places from each other in turn; else one of its own that is idle.
    fn give_way(&mut self, newcomer: &Client) -> bool {
        let after = self.holdings.of(newcomer);
        let largest = self.holdings.largest().filter(|(size, _)| after < *size).map(|(_, client)| client);
        let of_largest = largest.and_then(|largest| self.idle(largest).or_else(|| self.waiting(largest)));
        let Some(victim) = of_largest.or_else(|| self.idle(newcomer)) else { return false };
        self.dismiss(victim);
        true
    }

    /// A client's oldest connection that waits for nothing. One of a proxy's is spared: the proxy may send a request by it
    /// just now, and would answer 502.
    fn idle(&self, client: &Client) -> Option<u64> {
        self.find(client, |connection| connection.waits == 0 && !connection.is_proxys)
    }

    /// A client's oldest connection that waits for a state.
    fn waiting(&self, client: &Client) -> Option<u64> {
        self.find(client, |connection| connection.waits > 0)
    }

    fn find(&self, client: &Client, is_fit: impl Fn(&Connection) -> bool) -> Option<u64> {
        let fits = |id: &&u64| {
            let connection = self.connections.get(*id);
            connection.is_some_and(|connection| connection.is_admitted && is_fit(connection))
        };
        let oldest = self.holdings.oldest(client).take(LOOKED_AT);
        let newest = self.holdings.oldest(client).rev().take(LOOKED_AT);
        oldest.chain(newest).find(fits).copied()
    }

    /// A connection has to end: its place is free from now on.
    fn dismiss(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.leave.ask(Manner::Politely);
        if std::mem::take(&mut connection.is_admitted) {
            self.admitted -= 1;
        }
        if let Some((holder, number)) = connection.holder.take() {
            self.holdings.remove(&holder, number);
        }
    }

    /// Of too many connections on probation, the oldest of the peer with most gives way.
    fn bound_probation(&mut self) {
        if self.probation.len() <= self.max_on_probation {
            return;
        }
        let mut counts: HashMap<&Client, usize> = HashMap::new();
        for peer in self.probation.values() {
            *counts.entry(peer).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(peer, _)| peer.clone());
        let oldest = self.probation.iter().find(|(_, peer)| Some(*peer) == most.as_ref()).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.probation.remove(&id);
            if let Some(connection) = self.connections.get(&id) {
                connection.leave.ask(Manner::AtOnce);
            }
        }
    }
}
