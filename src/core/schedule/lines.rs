//! Owns the clients' lines and whose turn it is.
//!
//! A client with a due key stands in the ring, the others in `sleeping` by their first due time. Both
//! are exact after every call: no entry is stale.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;

use crate::core::grant::Client;
use crate::core::task::TaskKey;

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Client, Line>,
    /// Clients that had a due key when they were put here, in the order of their turns.
    ring: VecDeque<Client>,
    /// The other clients, by when their first key is due.
    sleeping: BTreeSet<(Instant, Client)>,
    /// The client whose turn [`next`](Lines::next) began.
    at_turn: Option<Client>,
}

/// One client's keys, earliest due first.
#[derive(Debug, Default)]
struct Line {
    keys: BTreeSet<(Instant, TaskKey)>,
    in_ring: bool,
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

    /// Changes a line and keeps `sleeping` right.
    fn change(&mut self, client: &Client, change: impl FnOnce(&mut BTreeSet<(Instant, TaskKey)>)) {
        let line = self.lines.entry(client.clone()).or_default();
        let before = line.first_due();
        change(&mut line.keys);
        let after = line.first_due();
        // In the ring it stays where it is until its turn shows that nothing is due.
        if !line.in_ring && before != after {
            if let Some(due) = before {
                self.sleeping.remove(&(due, client.clone()));
            }
            if let Some(due) = after {
                self.sleeping.insert((due, client.clone()));
            }
        }
        if !line.in_ring && after.is_none() {
            self.lines.remove(client);
        }
    }

    /// When the next key is due: `now` where one waits already.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Instant> {
        if self.has_due(now) { Some(now) } else { self.sleeping.first().map(|(due, _)| *due) }
    }

    /// Whether some key is due. Brings a client that has one to the front of the ring.
    pub(super) fn has_due(&mut self, now: Instant) -> bool {
        self.wake(now);
        while let Some(client) = self.ring.front() {
            if self.lines.get(client).and_then(Line::first_due).is_some_and(|due| due <= now) {
                return true;
            }
            // Skipping is free: others have flown its keys.
            if let Some(client) = self.ring.pop_front() {
                self.leave_ring(client);
            }
        }
        false
    }

    /// The key whose turn it is. The caller takes it out of every line, then ends the turn.
    pub(super) fn next(&mut self, now: Instant) -> Option<TaskKey> {
        if !self.has_due(now) {
            return None;
        }
        let client = self.ring.pop_front()?;
        let key = self.lines.get(&client)?.keys.first().map(|(_, key)| key.clone());
        self.at_turn = Some(client);
        key
    }

    /// Ends the turn: a client with another due key goes to the back of the ring.
    pub(super) fn finish_turn(&mut self, now: Instant) {
        let Some(client) = self.at_turn.take() else { return };
        if self.lines.get(&client).and_then(Line::first_due).is_some_and(|due| due <= now) {
            self.ring.push_back(client);
        } else {
            self.leave_ring(client);
        }
    }

    /// How many requests go out before a key of this client's, at most: its own keys before this one,
    /// and as many turns of each other client; but never more than there are keys.
    pub(super) fn ahead(&self, client: &Client, key: &TaskKey, due: Instant, keys: usize) -> usize {
        let Some(line) = self.lines.get(client) else { return 0 };
        let others = self.ring.len().saturating_sub(usize::from(line.in_ring));
        let turns = others + 1;
        // Counting further than this cannot change the result.
        let enough = keys / turns + 1;
        let before = line.keys.range(..(due, key.clone())).take(enough).count();
        (before * turns + others).min(keys.saturating_sub(1))
    }

    /// Moves the clients whose first key has come due into the ring, earliest first.
    fn wake(&mut self, now: Instant) {
        while self.sleeping.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, client)) = self.sleeping.pop_first() else { return };
            if let Some(line) = self.lines.get_mut(&client) {
                line.in_ring = true;
            }
            self.ring.push_back(client);
        }
    }

    fn leave_ring(&mut self, client: Client) {
        let Some(line) = self.lines.get_mut(&client) else { return };
        line.in_ring = false;
        match line.first_due() {
            Some(due) => {
                self.sleeping.insert((due, client));
            }
            None => {
                self.lines.remove(&client);
            }
        }
    }
}
