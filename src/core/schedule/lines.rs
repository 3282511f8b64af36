//! Owns the lines of the clients, and the order of their turns.
//!
//! A client with a due key stands in the ring, the others in `sleeping` by their first due time. A client that is
//! barred from turns stands in neither, and nor does one without keys, so that clients that come and go at a closed
//! gate leave nothing behind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tokio::time::Instant;

use crate::core::grant::Client;
use crate::core::task::TaskKey;

/// The lines of all clients.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Client, Line>,
    /// Clients that had a due key when they were put here, in the order of their turns.
    ring: BTreeMap<u64, Client>,
    /// The other clients, by the time at which their first key is due.
    sleeping: BTreeSet<(Instant, Client)>,
    /// Clients that have no turns for now.
    barred: HashSet<Client>,
    /// The client whose turn [`next`](Lines::next) began.
    at_turn: Option<Client>,
}

/// One client's keys, earliest due first.
#[derive(Debug, Default)]
struct Line {
    keys: BTreeSet<(Instant, TaskKey)>,
    /// The client's place in the ring, if it stands there.
    turn: Option<u64>,
}

impl Line {
    fn first_due(&self) -> Option<Instant> {
        self.keys.first().map(|(due, _)| *due)
    }
}

impl Lines {
    /// Puts a key into a client's line.
    pub(super) fn insert(&mut self, client: &Client, key: &TaskKey, due: Instant) {
        self.change(client, |keys| {
            keys.insert((due, key.clone()));
        });
    }

    /// Takes a key out of a client's line.
    pub(super) fn remove(&mut self, client: &Client, key: &TaskKey, due: Instant) {
        self.change(client, |keys| {
            keys.remove(&(due, key.clone()));
        });
    }

    /// Changes a line, and updates the ring and `sleeping`.
    fn change(&mut self, client: &Client, change: impl FnOnce(&mut BTreeSet<(Instant, TaskKey)>)) {
        let is_barred = self.barred.contains(client);
        let line = self.lines.entry(client.clone()).or_default();
        let before = line.first_due();
        change(&mut line.keys);
        let after = line.first_due();
        match line.turn {
            _ if is_barred => {}
            Some(turn) if after.is_none() => {
                self.ring.remove(&turn);
            }
            // The client keeps its place until its turn shows that no key is due.
            Some(_) => {}
            None if before == after => {}
            None => {
                if let Some(due) = before {
                    self.sleeping.remove(&(due, client.clone()));
                }
                if let Some(due) = after {
                    self.sleeping.insert((due, client.clone()));
                }
            }
        }
        if after.is_none() {
            self.lines.remove(client);
        }
    }

    /// The number of clients that have a due key, or had one when they joined the ring.
    pub(super) fn clients_due(&mut self, now: Instant) -> usize {
        if self.has_due(now) { self.ring.len() } else { 0 }
    }

    /// The time at which the next key is due; `now` where a due key waits already.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Instant> {
        if self.has_due(now) { Some(now) } else { self.sleeping.first().map(|(due, _)| *due) }
    }

    /// Whether some key is due. Brings a client that has one to the front of the ring.
    pub(super) fn has_due(&mut self, now: Instant) -> bool {
        self.wake(now);
        while let Some((_, client)) = self.ring.first_key_value() {
            if self.is_due(client, now) {
                return true;
            }
            // The client's due keys were requested in the turns of others: to skip the client costs no turn.
            let client = client.clone();
            self.leave_ring(client);
        }
        false
    }

    /// The client whose turn it is, and its key. The caller takes it out of every line, then ends the turn.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Client, TaskKey)> {
        if !self.has_due(now) {
            return None;
        }
        let (_, client) = self.ring.first_key_value()?;
        let (_, key) = self.lines.get(client)?.keys.first()?;
        let turn = (client.clone(), key.clone());
        self.at_turn = Some(client.clone());
        Some(turn)
    }

    /// A client has no turns from now on. Its line is kept.
    pub(super) fn bar(&mut self, client: &Client) {
        if self.barred.contains(client) {
            return;
        }
        if let Some(line) = self.lines.get_mut(client) {
            if let Some(turn) = line.turn.take() {
                self.ring.remove(&turn);
            } else if let Some(due) = line.first_due() {
                self.sleeping.remove(&(due, client.clone()));
            }
        }
        self.barred.insert(client.clone());
    }

    /// The clients of which this is true have turns again.
    pub(super) fn unbar(&mut self, may: impl Fn(&Client) -> bool) {
        for client in self.barred.extract_if(|client| may(client)) {
            if let Some(due) = self.lines.get(&client).and_then(Line::first_due) {
                self.sleeping.insert((due, client));
            }
        }
    }

    /// Ends the turn: a client with another due key goes to the back of the ring.
    pub(super) fn finish_turn(&mut self, now: Instant) {
        let Some(client) = self.at_turn.take() else { return };
        let has_another = self.is_due(&client, now);
        self.leave_ring(client.clone());
        if has_another {
            self.join_ring(client);
        }
    }

    /// The largest number of requests that start before a key of this client: those for its own keys before
    /// this one, and as many turns of each other client, but never more than there are other keys.
    pub(super) fn ahead(
        &mut self,
        client: &Client,
        key: &TaskKey,
        due: Instant,
        keys: usize,
        now: Instant,
    ) -> usize {
        self.wake(now);
        let Some(line) = self.lines.get(client) else { return 0 };
        let others = self.ring.len().saturating_sub(usize::from(line.turn.is_some()));
        let turns = others + 1;
        // Counting further than this cannot change the result.
        let enough = keys / turns + 1;
        let before = line.keys.range(..(due, key.clone())).take(enough).count();
        (before * turns + others).min(keys.saturating_sub(1))
    }

    fn is_due(&self, client: &Client, now: Instant) -> bool {
        self.lines.get(client).and_then(Line::first_due).is_some_and(|due| due <= now)
    }

    /// Moves the clients whose first key has come due into the ring, earliest first.
    fn wake(&mut self, now: Instant) {
        while let Some((due, client)) = self.sleeping.first()
            && *due <= now
        {
            let client = client.clone();
            self.join_ring(client);
        }
    }

    /// Moves a client from `sleeping` to the end of the ring.
    fn join_ring(&mut self, client: Client) {
        let Some(line) = self.lines.get_mut(&client) else { return };
        if let Some(due) = line.first_due() {
            self.sleeping.remove(&(due, client.clone()));
        }
        let turn = self.ring.last_key_value().map_or(0, |(last, _)| last + 1);
        line.turn = Some(turn);
        self.ring.insert(turn, client);
    }

    /// Moves a client from the ring to `sleeping`.
    fn leave_ring(&mut self, client: Client) {
        let Some(line) = self.lines.get_mut(&client) else { return };
        if let Some(turn) = line.turn.take() {
            self.ring.remove(&turn);
        }
        if let Some(due) = line.first_due() {
            self.sleeping.insert((due, client));
        }
    }
}
