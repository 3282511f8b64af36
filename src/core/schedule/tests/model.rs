//! Random histories of the schedule, beside a reference so simple that a reader can see that it is right.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const KEYS: u8 = 6;
const CLIENTS: u8 = 4;

/// One step of a history. Times are seconds from now.
#[derive(Debug, Clone)]
enum Step {
    Want { key: u8, client: u8, overdue: u8 },
    Release { key: u8, client: u8, linger: Option<u8> },
    Start,
    Land { key: u8, due_in: u8, refreshed: bool },
    Hasten { key: u8, due_in: u8 },
    AllowEarly { key: u8, in_seconds: u8 },
    StartEarly,
    Pass { seconds: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (key, client) = (0..KEYS, 0..CLIENTS);
    prop_oneof![
        5 => (key.clone(), client.clone(), 0..30_u8)
            .prop_map(|(key, client, overdue)| Step::Want { key, client, overdue }),
        3 => (key.clone(), client, proptest::option::of(0..6_u8))
            .prop_map(|(key, client, linger)| Step::Release { key, client, linger }),
        5 => Just(Step::Start),
        4 => (key.clone(), 0..5_u8, any::<bool>())
            .prop_map(|(key, due_in, refreshed)| Step::Land { key, due_in, refreshed }),
        1 => (key.clone(), 0..5_u8).prop_map(|(key, due_in)| Step::Hasten { key, due_in }),
        3 => (key, 0..3_u8).prop_map(|(key, in_seconds)| Step::AllowEarly { key, in_seconds }),
        3 => Just(Step::StartEarly),
        2 => (1..4_u8).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// The reference: interest, due times and flights, searched from end to end for every question.
#[derive(Default)]
struct Naive {
    now: i64,
    /// Guards held and the end of lingering, by key and client.
    wants: BTreeMap<(u8, u8), (usize, Option<i64>)>,
    due: BTreeMap<u8, i64>,
    flying: BTreeSet<u8>,
    /// The keys that may come early, and from when on.
    early: BTreeMap<u8, i64>,
    /// The due keys of each line, by key and client, with the turns that each may have to wait for.
    waits: BTreeMap<(u8, u8), Wait>,
}

/// The wait of a key in one client's line, counted in starts of other keys.
struct Wait {
    starts: usize,
    /// The keys that stood before it, each counted as often as it came to stand there.
    before: usize,
    /// The clients that had a due key meanwhile.
    clients: Vec<u8>,
}

impl Naive {
    fn is_flying(&self, key: u8) -> bool {
        self.flying.contains(&key)
    }

    fn keys(&self) -> usize {
        (0..KEYS).filter(|key| self.is_flying(*key) || self.wanted(*key)).count()
    }

    fn wanted(&self, key: u8) -> bool {
        self.wants.keys().any(|(wanted, _)| *wanted == key)
    }

    /// A client's line: its keys that are not in flight, earliest due first.
    fn line(&self, client: u8) -> Vec<(i64, u8)> {
        let mine = self.wants.keys().filter(|(key, who)| *who == client && !self.is_flying(*key));
        let mut line: Vec<_> = mine.map(|(key, _)| (self.due[key], *key)).collect();
        line.sort_unstable();
        line
    }

    fn due_line(&self, client: u8) -> Vec<(i64, u8)> {
        self.line(client).into_iter().filter(|(due, _)| *due <= self.now).collect()
    }

    fn next_due(&self) -> Option<i64> {
        (0..CLIENTS).filter_map(|client| self.line(client).first().map(|(due, _)| *due)).min()
    }

    fn forget_the_unwanted(&mut self) {
        self.wants.retain(|_, (held, lingers)| *held > 0 || lingers.is_some());
        let (wants, flying) = (&self.wants, &self.flying);
        self.due.retain(|key, _| flying.contains(key) || wants.keys().any(|(wanted, _)| wanted == key));
        let due = &self.due;
        self.early.retain(|key, _| due.contains_key(key) && !flying.contains(key));
    }

    /// Updates the waits: those that began, those that ended, and the clients that had a due key meanwhile.
    fn note_waits(&mut self) {
        let lines: Vec<_> = (0..CLIENTS).map(|client| self.due_line(client)).collect();
        self.waits.retain(|(key, client), _| lines[usize::from(*client)].iter().any(|(_, k)| k == key));
        for (client, line) in (0_u8..).zip(&lines) {
            for (place, (_, key)) in line.iter().enumerate() {
                let wait = self.waits.entry((*key, client)).or_insert(Wait {
                    starts: 0,
                    before: place,
                    clients: Vec::new(),
                });
                for (other, line) in (0_u8..).zip(&lines) {
                    if !line.is_empty() && !wait.clients.contains(&other) {
                        wait.clients.push(other);
                    }
                }
            }
        }
    }

    /// Notes that a key enters a line or moves in it: it may now stand before others that wait there.
    fn note_newcomer(&mut self, key: u8) {
        for ((other, client), wait) in &mut self.waits {
            let is_mine = self.wants.contains_key(&(key, *client));
            wait.before += usize::from(is_mine && (self.due[&key], key) < (self.due[other], *other));
        }
    }
}

struct Pair {
    bench: Bench,
    naive: Naive,
}

impl Pair {
    fn key(&self, key: u8) -> TaskKey {
        self.bench.key(&key.to_string())
    }

    fn at(&self, seconds: i64) -> Instant {
        self.bench.at(seconds)
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.naive.now;
        match step {
            Step::Want { key, client, overdue } => {
                let due = now - i64::from(overdue);
                self.bench.want(&client.to_string(), &key.to_string(), due);
                self.naive.due.entry(key).or_insert(due);
                let want = self.naive.wants.entry((key, client)).or_insert((0, None));
                *want = (want.0 + 1, None);
                self.naive.note_newcomer(key);
            }
            Step::Release { key, client, linger } => {
                let Some((held, lingers)) = self.naive.wants.get_mut(&(key, client)) else { return Ok(()) };
                if *held == 0 {
                    return Ok(());
                }
                let until = linger.map(|linger| now + i64::from(linger));
                *held -= 1;
                *lingers = until.max(*lingers).filter(|until| *until > now);
                self.bench.release(&client.to_string(), &key.to_string(), until, now);
            }
            Step::Start => self.start()?,
            Step::Land { key, due_in, refreshed } => {
                if !self.naive.flying.remove(&key) {
                    return Ok(());
                }
                let due = now + i64::from(due_in);
                self.bench.land(&key.to_string(), due, refreshed);
                self.naive.due.insert(key, due);
                if refreshed {
                    let mine = self.naive.wants.iter_mut().filter(|((landed, _), _)| *landed == key);
                    mine.for_each(|(_, (_, lingers))| *lingers = None);
                }
                self.naive.note_newcomer(key);
            }
            Step::Hasten { key, due_in } => {
                let due = now + i64::from(due_in);
                self.bench.schedule.hasten(&self.key(key), self.at(due));
                let Some(before) = self.naive.due.get_mut(&key) else { return Ok(()) };
                *before = due.min(*before);
                self.naive.note_newcomer(key);
            }
            Step::AllowEarly { key, in_seconds } => {
                let from = now + i64::from(in_seconds);
                self.bench.schedule.allow_early(&self.key(key), self.at(from));
                if self.naive.due.get(&key).is_some_and(|due| *due > from) && !self.naive.is_flying(key) {
                    self.naive.early.insert(key, from);
                }
            }
            Step::StartEarly => self.start_early()?,
            Step::Pass { seconds } => {
                self.naive.now += i64::from(seconds);
                let now = self.naive.now;
                self.bench.schedule.sweep(self.at(now));
                let wants = self.naive.wants.values_mut();
                wants.for_each(|(_, lingers)| *lingers = lingers.filter(|end| *end > now));
            }
        }
        self.naive.forget_the_unwanted();
        self.naive.note_waits();
        self.compare()
    }

    fn start(&mut self) -> Result<(), TestCaseError> {
        let now = self.naive.now;
        let Some(started) = self.bench.start(now) else {
            prop_assert!((0..CLIENTS).all(|client| self.naive.due_line(client).is_empty()));
            return Ok(());
        };
        let key: u8 = started.parse().unwrap();
        prop_assert!(!self.naive.is_flying(key), "{key} is in flight already");
        prop_assert!(self.naive.wanted(key), "nobody wants {key}");
        let is_first = |client| self.naive.due_line(client).first().is_some_and(|(_, first)| *first == key);
        prop_assert!((0..CLIENTS).any(is_first), "{key} is first in no line");
        for wait in self.naive.waits.values_mut() {
            wait.starts += 1;
            let bound = (wait.before + 1) * wait.clients.len();
            prop_assert!(wait.starts <= bound, "{} starts, {bound} allowed", wait.starts);
        }
        self.naive.flying.insert(key);
        Ok(())
    }

    /// As the driver does, only where no key is due.
    fn start_early(&mut self) -> Result<(), TestCaseError> {
        let now = self.naive.now;
        if (0..CLIENTS).any(|client| !self.naive.due_line(client).is_empty()) {
            return Ok(());
        }
        let expected = self.naive.early.iter().map(|(key, from)| (*from, *key)).min();
        let expected = expected.filter(|(from, _)| *from <= now).map(|(_, key)| key);
        let first = self.bench.schedule.first_early(self.at(now));
        prop_assert_eq!(first.clone(), expected.map(|key| self.key(key)));
        if let (Some(first), Some(key)) = (first, expected) {
            self.bench.schedule.start_early(&first);
            self.naive.flying.insert(key);
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let now = self.at(self.naive.now);
        let schedule = &mut self.bench.schedule;
        prop_assert_eq!(schedule.len(), self.naive.keys());
        let lingering = self.naive.wants.values().filter(|(_, lingers)| lingers.is_some()).count();
        prop_assert_eq!(schedule.lingering(), lingering);
        let next = schedule.next_due(now);
        let expected = self.naive.next_due().map(|due| self.bench.at(due).max(now));
        prop_assert_eq!(next, expected);
        let next = self.bench.schedule.next_early();
        prop_assert_eq!(next, self.naive.early.values().min().map(|from| self.at(*from)));
        for key in 0..KEYS {
            let name = self.key(key);
            prop_assert_eq!(self.bench.schedule.in_flight(&name), self.naive.is_flying(key));
            let due = self.naive.due.get(&key).map(|due| self.at(*due));
            prop_assert_eq!(self.bench.schedule.due(&name), due);
        }
        Ok(())
    }

    /// Lets all keys come due at once and start. No key waits for more starts than `ahead` said, nor for
    /// n·min(C, N): n keys in the client's line, C clients, N keys in all.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.naive.now += 10;
        self.naive.waits.clear();
        let now = self.naive.now;
        let lines: Vec<_> = (0..CLIENTS).map(|client| self.naive.due_line(client)).collect();
        let clients = lines.iter().filter(|line| !line.is_empty()).count();
        let mut promised = Vec::new();
        for (client, line) in (0..CLIENTS).zip(&lines) {
            for (_, key) in line {
                let ahead = self.bench.ahead(&client.to_string(), &key.to_string(), now);
                promised.push((*key, ahead as usize, line.len()));
            }
        }
        let order: Vec<u8> =
            self.bench.drain(now).split_whitespace().map(|key| key.parse().unwrap()).collect();
        for (key, ahead, line) in promised {
            let place = order.iter().position(|started| *started == key).unwrap();
            prop_assert!(place <= ahead, "{key} went after {place} others, not {ahead}: {order:?}");
            prop_assert!(place < line * clients.min(order.len()), "{key} after {place} in {order:?}");
        }
        self.naive.flying.extend(order);
        self.naive.forget_the_unwanted();
        self.compare()
    }

    /// Releases all interest, lands every flight, and checks that the schedule is empty.
    fn clear_up(&mut self) -> Result<(), TestCaseError> {
        let held: Vec<_> = self.naive.wants.iter().map(|(pair, (held, _))| (*pair, *held)).collect();
        for ((key, client), held) in held {
            for _ in 0..held {
                self.take(Step::Release { key, client, linger: None })?;
            }
        }
        for key in 0..KEYS {
            self.take(Step::Land { key, due_in: 1, refreshed: true })?;
        }
        self.take(Step::Pass { seconds: 10 })?;
        self.bench.assert_empty();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_keeps_order_turns_and_promises(
        history in proptest::collection::vec(step(), 1..80),
        drained in any::<bool>(),
    ) {
        let mut pair = Pair { bench: Bench::new(), naive: Naive::default() };
        for step in history {
            pair.take(step)?;
        }
        if drained {
            pair.drain()?;
        }
        pair.clear_up()?;
    }
}
