//! Owns the order in which interested keys go upstream.
//!
//! A key stands in it at most once: queued, or in flight. Clients with due keys take equal turns, and
//! within a client the key that is due earliest goes first. A key that several clients want stands in
//! each one's line, flies once and leaves all; a client whose keys others have flown loses no turn
//! (invariants 10 and 11).
//!
//! A plain state machine: time is an argument, and it knows neither tasks nor locks nor tokens.

mod lines;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use self::lines::Lines;
use super::grant::Client;
use super::task::{ByKey, TaskKey};

/// Who wants what, and whose turn it is.
#[derive(Debug, Default)]
pub struct Schedule {
    keys: HashMap<TaskKey, Entry, ByKey>,
    lines: Lines,
    /// Interest that nobody holds any more, by the time it ends.
    lingering: BTreeSet<(Instant, TaskKey, Client)>,
}

#[derive(Debug)]
struct Entry {
    /// When it is to be asked again. In flight: when that was.
    due: Instant,
    /// Since when somebody wants it.
    wanted: Instant,
    in_flight: bool,
    /// Few for most keys: to compare a name costs less than to hash it.
    wants: BTreeMap<Client, Want>,
}

/// One client's interest in one key.
#[derive(Debug, Default)]
struct Want {
    /// Guards held.
    held: usize,
    /// Until when the interest outlives them.
    lingers: Option<Instant>,
}

impl Schedule {
    /// How many keys are wanted or in flight.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing is wanted or in flight.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key is wanted or in flight.
    pub fn contains(&self, key: &TaskKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the key is in flight.
    pub fn in_flight(&self, key: &TaskKey) -> bool {
        self.keys.get(key).is_some_and(|entry| entry.in_flight)
    }

    /// When the key is to be asked again.
    pub fn due(&self, key: &TaskKey) -> Option<Instant> {
        self.keys.get(key).map(|entry| entry.due)
    }

    /// Adds a client's interest in a key. `due` counts only for a key that nobody wanted before:
    /// asking often gains nothing.
    pub fn want(&mut self, key: &TaskKey, client: &Client, due: Instant, now: Instant) {
        let entry = self.keys.entry(key.clone()).or_insert_with(|| Entry {
            due,
            wanted: now,
            in_flight: false,
            wants: BTreeMap::new(),
        });
        let wants = entry.wants.len();
        let want = entry.wants.entry(client.clone()).or_default();
        want.held += 1;
        if let Some(end) = want.lingers.take() {
            self.lingering.remove(&(end, key.clone(), client.clone()));
        }
        let is_new = entry.wants.len() > wants;
        if is_new && !entry.in_flight {
            self.lines.insert(client, key, entry.due);
        }
    }

    /// Gives back one of several guards that a client holds, after which nothing is different. False where there are
    /// no several.
    pub fn release_one_of_several(&mut self, key: &TaskKey, client: &Client) -> bool {
        let want = self.keys.get_mut(key).and_then(|entry| entry.wants.get_mut(client));
        let Some(want) = want.filter(|want| want.held > 1) else { return false };
        want.held -= 1;
        true
    }

    /// Gives back one guard. The interest lingers until `until`, where that lies ahead.
    pub fn release(&mut self, key: &TaskKey, client: &Client, until: Option<Instant>, now: Instant) {
        let Some(want) = self.keys.get_mut(key).and_then(|entry| entry.wants.get_mut(client)) else {
            return;
        };
        want.held = want.held.saturating_sub(1);
        // The latest of several departures counts.
        let until = until.max(want.lingers).filter(|until| *until > now);
        if let Some(before) = want.lingers.take() {
            self.lingering.remove(&(before, key.clone(), client.clone()));
        }
        if let Some(until) = until {
            want.lingers = Some(until);
            self.lingering.insert((until, key.clone(), client.clone()));
        }
        self.drop_if_unwanted(key, client);
    }

    /// Ends the lingering interest whose time is over, and names the keys that nobody wants any more.
    pub fn sweep(&mut self, now: Instant) -> Vec<TaskKey> {
        let mut unwanted = Vec::new();
        while self.lingering.first().is_some_and(|(end, ..)| *end <= now) {
            let Some((_, key, client)) = self.lingering.pop_first() else { break };
            if let Some(want) = self.keys.get_mut(&key).and_then(|entry| entry.wants.get_mut(&client)) {
                want.lingers = None;
            }
            self.drop_if_unwanted(&key, &client);
            if !self.contains(&key) {
                unwanted.push(key);
            }
        }
        unwanted
    }

    /// Whether some key is due.
    pub fn has_due(&mut self, now: Instant) -> bool {
        self.lines.has_due(now)
    }

    /// How many clients have a key that is due.
    pub fn clients_due(&mut self, now: Instant) -> usize {
        self.lines.clients_due(now)
    }

    /// When the next key is due: `now` where one waits already.
    pub fn next_due(&mut self, now: Instant) -> Option<Instant> {
        self.lines.next_due(now)
    }

    /// Takes the key whose turn it is, and since when it waited: from now on it is in flight.
    pub fn start(&mut self, now: Instant) -> Option<(TaskKey, Instant)> {
        let key = self.lines.next(now)?;
        let mut waited = now;
        if let Some(entry) = self.keys.get_mut(&key) {
            waited = entry.due.max(entry.wanted);
            entry.in_flight = true;
            for client in entry.wants.keys() {
                self.lines.remove(client, &key, entry.due);
            }
        }
        self.lines.finish_turn(now);
        Some((key, waited))
    }

    /// Takes a key back from its flight, due again at `due`. Lingering interest has then had its
    /// refresh and ends, unless the flight was turned away at the gate (`refreshed` is false).
    pub fn land(&mut self, key: &TaskKey, due: Instant, refreshed: bool) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.in_flight = false;
        entry.due = due;
        if refreshed {
            for (client, want) in &mut entry.wants {
                if let Some(end) = want.lingers.take() {
                    self.lingering.remove(&(end, key.clone(), client.clone()));
                }
            }
            entry.wants.retain(|_, want| want.held > 0);
        }
        for client in entry.wants.keys() {
            self.lines.insert(client, key, due);
        }
        if entry.wants.is_empty() {
            self.keys.remove(key);
        }
    }

    /// Makes a key due at `due`, if it was due later: what waits keeps its place.
    pub fn hasten(&mut self, key: &TaskKey, due: Instant) {
        if self.due(key).is_some_and(|known| known > due) {
            self.reschedule(key, due);
        }
    }

    /// Makes a key due at `due`.
    pub fn reschedule(&mut self, key: &TaskKey, due: Instant) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        if !entry.in_flight {
            for client in entry.wants.keys() {
                self.lines.remove(client, key, entry.due);
                self.lines.insert(client, key, due);
            }
        }
        entry.due = due;
    }

    /// How many clients' interest lingers.
    pub fn lingering(&self) -> usize {
        self.lingering.len()
    }

    /// The keys that somebody wants and that are not in flight.
    pub fn queued(&self) -> impl Iterator<Item = &TaskKey> {
        self.keys.iter().filter(|(_, entry)| !entry.in_flight).map(|(key, _)| key)
    }

    /// How many keys are not in flight, and how many of those are due.
    pub fn backlog(&self, now: Instant) -> (usize, usize) {
        let queued = self.keys.values().filter(|entry| !entry.in_flight);
        queued.fold((0, 0), |(all, due), entry| (all + 1, due + usize::from(entry.due <= now)))
    }

    /// Up to `most` keys: when each is due, whether it is in flight, and how many guards are held for it.
    pub fn survey(&self, most: usize) -> impl Iterator<Item = (&TaskKey, Instant, bool, usize)> {
        self.keys.iter().take(most).map(|(key, entry)| {
            let held = entry.wants.values().map(|want| want.held).sum();
            (key, entry.due, entry.in_flight, held)
        })
    }

    /// How many requests go out before this client's turn reaches this key, at most.
    pub fn ahead(&mut self, key: &TaskKey, client: &Client, now: Instant) -> u32 {
        let Some(entry) = self.keys.get(key).filter(|entry| !entry.in_flight) else { return 0 };
        let ahead = self.lines.ahead(client, key, entry.due, self.keys.len(), now);
        u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    fn drop_if_unwanted(&mut self, key: &TaskKey, client: &Client) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        if entry.wants.get(client).is_some_and(|want| want.held == 0 && want.lingers.is_none()) {
            entry.wants.remove(client);
            if !entry.in_flight {
                self.lines.remove(client, key, entry.due);
            }
        }
        // A flight under way is never cancelled; its landing clears up.
        if entry.wants.is_empty() && !entry.in_flight {
            self.keys.remove(key);
        }
    }
}
