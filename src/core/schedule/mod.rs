//! Owns the schedule: the order in which keys with interest are requested.
//!
//! A key is in the schedule at most once: queued, or in flight. Clients with due keys take equal turns, and
//! within the line of a client the key that is due earliest goes first. A key that several clients want
//! stands in the line of each, is requested once and leaves all lines. A client whose keys were requested in
//! the turns of others loses no turn.
//!
//! A client whose turns have as many keys in flight as there are places left waits for a landing ([`InFlight`]):
//! keys that an upstream leaves without an answer cannot take the places of other clients.
//!
//! Where no key is due and a token would be lost, a key may come early ([`Early`]).
//!
//! The schedule is a plain state machine: time is an argument, and it knows no runtime, no locks and no
//! tokens.

mod early;
mod in_flight;
mod lines;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use self::early::Early;
use self::in_flight::InFlight;
use self::lines::Lines;
use super::grant::Client;
use super::holdings::Holdings;
use super::task::{ByKey, TaskKey};

/// The keys with interest, and the turns of the clients.
#[derive(Debug)]
pub struct Schedule {
    keys: HashMap<TaskKey, Entry, ByKey>,
    lines: Lines,
    early: Early,
    in_flight: InFlight,
    holdings: Holdings<TaskKey>,
    /// The lingering interest, by the time at which it ends.
    lingering: BTreeSet<(Instant, TaskKey, Client)>,
}

#[derive(Debug)]
struct Entry {
    /// The time at which the key is due. For a key in flight: the time at which that flight was due.
    due: Instant,
    /// The time since which the key is in the schedule.
    wanted: Instant,
    /// The client in whose turn the flight started, while the key is in flight.
    started_for: Option<Client>,
    /// A `BTreeMap`, because most keys have few clients: to compare their names costs less than to hash them.
    wants: BTreeMap<Client, Want>,
}

/// One client's interest in one key.
#[derive(Debug, Default)]
struct Want {
    /// The number of guards held.
    held: usize,
    /// The time until which the interest outlives its guards.
    lingers: Option<Instant>,
    /// The number of this interest: a guard of an earlier one releases nothing.
    number: u64,
}

impl Entry {
    fn is_in_flight(&self) -> bool {
        self.started_for.is_some()
    }
}

impl Schedule {
    /// An empty schedule, of which at most `max_in_flight` keys are in flight.
    pub fn new(max_in_flight: usize) -> Self {
        Self {
            keys: HashMap::default(),
            lines: Lines::default(),
            early: Early::default(),
            in_flight: InFlight::new(max_in_flight),
            holdings: Holdings::default(),
            lingering: BTreeSet::new(),
        }
    }

    /// The number of keys with interest or in flight.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key has interest or is in flight.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key has interest or is in flight.
    pub fn contains(&self, key: &TaskKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether the key is in flight.
    pub fn in_flight(&self, key: &TaskKey) -> bool {
        self.keys.get(key).is_some_and(Entry::is_in_flight)
    }

    /// The time at which the key is due.
    pub fn due(&self, key: &TaskKey) -> Option<Instant> {
        self.keys.get(key).map(|entry| entry.due)
    }

    /// Adds a client's interest in a key. `due` counts only for a key that is new to the schedule: a client
    /// gains nothing by asking often. Returns the number of the interest, by which a guard of it is released.
    pub fn want(&mut self, key: &TaskKey, client: &Client, due: Instant, now: Instant) -> u64 {
        let entry = self.keys.entry(key.clone()).or_insert_with(|| Entry {
            due,
            wanted: now,
            started_for: None,
            wants: BTreeMap::new(),
        });
        let wants = entry.wants.len();
        let want = entry.wants.entry(client.clone()).or_default();
        want.held += 1;
        if let Some(end) = want.lingers.take() {
            self.lingering.remove(&(end, key.clone(), client.clone()));
        }
        let number = want.number;
        if entry.wants.len() == wants {
            return number;
        }
        let number = self.holdings.insert(client, key.clone());
        if let Some(want) = entry.wants.get_mut(client) {
            want.number = number;
        }
        if !entry.is_in_flight() {
            self.lines.insert(client, key, entry.due);
        }
        number
    }

    /// Releases one guard of a client that holds several, which changes nothing else. Returns false, and
    /// releases no guard, where the client does not hold several.
    pub fn release_one_of_several(&mut self, key: &TaskKey, client: &Client, number: u64) -> bool {
        let want = self.keys.get_mut(key).and_then(|entry| entry.wants.get_mut(client));
        let Some(want) = want.filter(|want| want.held > 1 && want.number == number) else { return false };
        want.held -= 1;
        true
    }

    /// Releases one guard of the interest of this number. The interest lingers until `until`, where that lies ahead.
    pub fn release(
        &mut self,
        key: &TaskKey,
        client: &Client,
        number: u64,
        until: Option<Instant>,
        now: Instant,
    ) {
        let want = self.keys.get_mut(key).and_then(|entry| entry.wants.get_mut(client));
        let Some(want) = want.filter(|want| want.number == number) else { return };
        want.held = want.held.saturating_sub(1);
        // Of several departures, the one that lingers longest counts.
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

    /// Takes the place of a key for a client whose holding would still be smaller than the largest one: a newest key
    /// of the largest holder, one that merely lingers first. `None` where the client is to be turned away. So no two
    /// clients evict each other in turn.
    pub fn give_way(&mut self, newcomer: &Client) -> Option<TaskKey> {
        let after = self.holdings.of(newcomer) + 1;
        let (size, largest) = self.holdings.largest()?;
        if after >= size {
            return None;
        }
        // A key that a much smaller holder wants too stays.
        let holds_much = |client: &Client| {
            let held = self.holdings.of(client);
            held > after && held >= size / 2
        };
        let gives_way = |key: &&TaskKey| {
            let entry = self.keys.get(*key);
            entry.is_some_and(|entry| !entry.is_in_flight() && entry.wants.keys().all(holds_much))
        };
        let lingers = |key: &&TaskKey| {
            self.keys.get(*key).is_some_and(|entry| entry.wants.values().all(|want| want.held == 0))
        };
        let candidates: Vec<&TaskKey> = self.holdings.candidates(largest).filter(gives_way).collect();
        let key = candidates.iter().copied().find(lingers).or(candidates.first().copied())?.clone();
        self.evict(&key);
        Some(key)
    }

    /// Ends the newest lingering interest of the largest holder, for a client that holds less. Returns its key, which
    /// may have left the schedule; `None` where there is no such interest.
    pub fn end_lingering_of_largest(&mut self, newcomer: &Client) -> Option<TaskKey> {
        let (size, largest) = self.holdings.largest()?;
        if self.holdings.of(newcomer) >= size {
            return None;
        }
        let largest = largest.clone();
        let lingers = |key: &&TaskKey| {
            let want = self.keys.get(*key).and_then(|entry| entry.wants.get(&largest));
            want.is_some_and(|want| want.lingers.is_some())
        };
        let key = self.holdings.candidates(&largest).find(lingers)?.clone();
        if let Some(want) = self.keys.get_mut(&key).and_then(|entry| entry.wants.get_mut(&largest))
            && let Some(end) = want.lingers.take()
        {
            self.lingering.remove(&(end, key.clone(), largest.clone()));
        }
        self.drop_if_unwanted(&key, &largest);
        Some(key)
    }

    fn evict(&mut self, key: &TaskKey) {
        let Some(entry) = self.keys.remove(key) else { return };
        self.early.remove(key);
        for (client, want) in entry.wants {
            self.lines.remove(&client, key, entry.due);
            self.holdings.remove(&client, want.number);
            if let Some(end) = want.lingers {
                self.lingering.remove(&(end, key.clone(), client));
            }
        }
    }

    /// Ends the lingering interest whose time is over. Returns the keys that have left the schedule.
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

    /// The number of clients that have a due key.
    pub fn clients_due(&mut self, now: Instant) -> usize {
        self.lines.clients_due(now)
    }

    /// The time at which the next key is due; `now` where a due key waits already.
    pub fn next_due(&mut self, now: Instant) -> Option<Instant> {
        self.lines.next_due(now)
    }

    /// Takes the key whose turn it is, which is in flight from now on. Returns it with the time since which
    /// it waited.
    pub fn start(&mut self, now: Instant) -> Option<(TaskKey, Instant)> {
        let (client, key) = self.lines.next(now)?;
        let waited = self.fly(&key, client).unwrap_or(now);
        self.lines.finish_turn(now);
        self.bar_full();
        Some((key, waited))
    }

    /// Lets a key that waits until it is due come from `from` on, where a token would be lost.
    pub fn allow_early(&mut self, key: &TaskKey, from: Instant) {
        if self.keys.get(key).is_some_and(|entry| !entry.is_in_flight() && entry.due > from) {
            self.early.insert(key, from);
        }
    }

    /// The time from which a key may come early.
    pub fn next_early(&self) -> Option<Instant> {
        self.early.first()
    }

    /// The key that may come early for the longest time.
    pub fn first_early(&self, now: Instant) -> Option<TaskKey> {
        // The search is made under a lock.
        const LOOKED_AT: usize = 16;
        let mut may_come = self.early.until(now).take(LOOKED_AT);
        may_come.find(|key| self.payer(key).is_some()).cloned()
    }

    /// Takes a key before it is due, which is in flight from now on.
    pub fn start_early(&mut self, key: &TaskKey) {
        let Some(client) = self.payer(key).cloned() else { return };
        self.fly(key, client);
        self.bar_full();
    }

    /// A client that may start a key which it wants.
    fn payer(&self, key: &TaskKey) -> Option<&Client> {
        self.keys.get(key)?.wants.keys().find(|client| !self.in_flight.is_full(client))
    }

    /// Notes that a key is in flight for a client. Returns the time since which it waited.
    fn fly(&mut self, key: &TaskKey, client: Client) -> Option<Instant> {
        self.early.remove(key);
        self.in_flight.start(&client);
        let entry = self.keys.get_mut(key)?;
        entry.started_for = Some(client);
        for client in entry.wants.keys() {
            self.lines.remove(client, key, entry.due);
        }
        Some(entry.due.max(entry.wanted))
    }

    fn bar_full(&mut self) {
        for client in self.in_flight.full() {
            self.lines.bar(client);
        }
    }

    /// Ends the flight of a key, which is due again at `due`. Lingering interest ends with its refresh,
    /// unless the upstream refused the account (`refreshed` is false).
    pub fn land(&mut self, key: &TaskKey, due: Instant, refreshed: bool) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.due = due;
        if let Some(client) = entry.started_for.take() {
            self.in_flight.land(&client);
            self.lines.unbar(|client| !self.in_flight.is_full(client));
        }
        if refreshed {
            for (client, want) in &mut entry.wants {
                if let Some(end) = want.lingers.take() {
                    self.lingering.remove(&(end, key.clone(), client.clone()));
                }
            }
            entry.wants.retain(|client, want| {
                if want.held == 0 {
                    self.holdings.remove(client, want.number);
                }
                want.held > 0
            });
        }
        for client in entry.wants.keys() {
            self.lines.insert(client, key, due);
        }
        if entry.wants.is_empty() {
            self.keys.remove(key);
        }
    }

    /// A key was refreshed without a flight of its own, and is due again at `due`. Lingering interest ends, as with
    /// [`land`](Self::land).
    pub fn refreshed(&mut self, key: &TaskKey, due: Instant) {
        let Some(entry) = self.keys.get(key).filter(|entry| !entry.is_in_flight()) else { return };
        for client in entry.wants.keys() {
            self.lines.remove(client, key, entry.due);
        }
        self.early.remove(key);
        self.land(key, due, true);
    }

    /// Makes a key due at `due`, if it was due later. A key that is due already keeps its place.
    pub fn hasten(&mut self, key: &TaskKey, due: Instant) {
        if self.due(key).is_some_and(|known| known > due) {
            self.reschedule(key, due);
        }
    }

    /// Makes a key due at `due`.
    pub fn reschedule(&mut self, key: &TaskKey, due: Instant) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        if !entry.is_in_flight() {
            for client in entry.wants.keys() {
                self.lines.remove(client, key, entry.due);
                self.lines.insert(client, key, due);
            }
        }
        entry.due = due;
    }

    /// The clients that want a key.
    pub fn clients_of(&self, key: &TaskKey) -> impl Iterator<Item = &Client> {
        self.keys.get(key).into_iter().flat_map(|entry| entry.wants.keys())
    }

    /// The number of keys that a client wants.
    pub fn tasks_of(&self, client: &Client) -> usize {
        self.holdings.of(client)
    }

    /// The number of clients that want a key.
    pub fn clients(&self) -> usize {
        self.holdings.clients()
    }

    /// The number of lingering interests.
    pub fn lingering(&self) -> usize {
        self.lingering.len()
    }

    /// The keys with interest that are not in flight.
    pub fn queued(&self) -> impl Iterator<Item = &TaskKey> {
        self.keys.iter().filter(|(_, entry)| !entry.is_in_flight()).map(|(key, _)| key)
    }

    /// The number of keys that are not in flight, and the number of those that are due.
    pub fn backlog(&self, now: Instant) -> (usize, usize) {
        let queued = self.keys.values().filter(|entry| !entry.is_in_flight());
        queued.fold((0, 0), |(all, due), entry| (all + 1, due + usize::from(entry.due <= now)))
    }

    /// Up to `most` keys: the time at which each is due, whether it is in flight, and the number of its
    /// guards.
    pub fn survey(&self, most: usize) -> impl Iterator<Item = (&TaskKey, Instant, bool, usize)> {
        self.keys.iter().take(most).map(|(key, entry)| {
            let held = entry.wants.values().map(|want| want.held).sum();
            (key, entry.due, entry.is_in_flight(), held)
        })
    }

    /// The largest number of requests that start before this client's turn reaches this key.
    pub fn ahead(&mut self, key: &TaskKey, client: &Client, now: Instant) -> u32 {
        let Some(entry) = self.keys.get(key).filter(|entry| !entry.is_in_flight()) else { return 0 };
        let ahead = self.lines.ahead(client, key, entry.due, self.keys.len(), now);
        u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    fn drop_if_unwanted(&mut self, key: &TaskKey, client: &Client) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        let want = entry.wants.get(client).filter(|want| want.held == 0 && want.lingers.is_none());
        if let Some(number) = want.map(|want| want.number) {
            entry.wants.remove(client);
            self.holdings.remove(client, number);
            if !entry.is_in_flight() {
                self.lines.remove(client, key, entry.due);
            }
        }
        // A flight is never cancelled; its landing removes the key.
        if entry.wants.is_empty() && !entry.is_in_flight() {
            self.keys.remove(key);
            self.early.remove(key);
        }
    }
}
