//! Tests of the schedule, with instants made by hand: order, turns, lingering, and no leftovers.

mod model;

use super::*;
use crate::core::task::{Route, Routes};
use tokio::time::Duration;

/// A schedule with letters as keys and clients, and with seconds as time.
struct Bench {
    schedule: Schedule,
    /// The numbers of the interests, as guards carry them.
    numbers: HashMap<(String, String), u64>,
    start: Instant,
    routes: Routes,
}

impl Bench {
    fn new() -> Self {
        let routes = Routes::new(vec![Route::parse("/t/{id}").unwrap()]);
        Self { schedule: Schedule::new(usize::MAX), numbers: HashMap::new(), start: Instant::now(), routes }
    }

    /// Seconds count from the tenth minute, so that a key can have been due before.
    fn at(&self, seconds: i64) -> Instant {
        self.start + Duration::from_secs(600_u64.checked_add_signed(seconds).unwrap())
    }

    fn key(&self, id: &str) -> TaskKey {
        self.routes.find(&format!("/t/{id}")).unwrap()
    }

    fn want(&mut self, client: &str, id: &str, due: i64) {
        let (key, due) = (self.key(id), self.at(due));
        let number = self.schedule.want(&key, &named(client), due, self.start);
        self.numbers.insert((client.to_owned(), id.to_owned()), number);
    }

    fn release(&mut self, client: &str, id: &str, linger_until: Option<i64>, now: i64) {
        let (key, until, now) = (self.key(id), linger_until.map(|until| self.at(until)), self.at(now));
        let number = self.number(client, id);
        self.schedule.release(&key, &named(client), number, until, now);
    }

    fn number(&self, client: &str, id: &str) -> u64 {
        self.numbers.get(&(client.to_owned(), id.to_owned())).copied().unwrap_or(0)
    }

    fn start(&mut self, now: i64) -> Option<String> {
        let now = self.at(now);
        self.schedule.start(now).map(|(key, _)| key.id().to_owned())
    }

    /// Starts every due key, and returns the keys in that order.
    fn drain(&mut self, now: i64) -> String {
        std::iter::from_fn(|| self.start(now)).collect::<Vec<_>>().join(" ")
    }

    fn land(&mut self, id: &str, due: i64, refreshed: bool) {
        let (key, due) = (self.key(id), self.at(due));
        self.schedule.land(&key, due, refreshed);
    }

    fn ahead(&mut self, client: &str, id: &str, now: i64) -> u32 {
        let (key, now) = (self.key(id), self.at(now));
        self.schedule.ahead(&key, &named(client), now)
    }

    #[track_caller]
    fn assert_empty(&self) {
        assert!(self.schedule.is_empty());
        let nothing = format!("{:?}", Schedule::new(usize::MAX));
        assert_eq!(format!("{:?}", self.schedule), nothing, "nothing is left over");
    }
}

fn named(name: &str) -> Client {
    Client::Named(name.into())
}

#[test]
fn within_a_client_the_key_that_is_due_earliest_goes_first() {
    let mut bench = Bench::new();
    for (id, due) in [("c", 0), ("a", -5), ("d", -1), ("b", -300)] {
        bench.want("x", id, due);
    }
    assert_eq!(bench.drain(0), "b a d c");
}

#[test]
fn nothing_starts_before_it_is_due() {
    let mut bench = Bench::new();
    bench.want("x", "a", 5);
    bench.want("y", "b", 3);
    assert_eq!(bench.start(2), None);
    assert_eq!(bench.schedule.next_due(bench.at(2)), Some(bench.at(3)));
    assert_eq!(bench.drain(4), "b");
    assert_eq!(bench.schedule.next_due(bench.at(4)), Some(bench.at(5)));
    assert_eq!(bench.drain(5), "a");
    assert_eq!(bench.schedule.next_due(bench.at(6)), None, "what is in flight is not due");
}

#[test]
fn clients_take_equal_turns_however_many_keys_they_have() {
    let mut bench = Bench::new();
    for id in ["a1", "a2", "a3", "a4", "a5"] {
        bench.want("a", id, -100);
    }
    bench.want("b", "b1", -50);
    bench.want("b", "b2", -50);
    bench.want("c", "c1", -10);
    assert_eq!(bench.drain(0), "a1 b1 c1 a2 b2 a3 a4 a5");
}

#[test]
fn a_client_that_comes_back_goes_to_the_end_of_the_ring() {
    let mut bench = Bench::new();
    for client in ["a", "b", "c"] {
        bench.want(client, &format!("{client}1"), -10);
        bench.want(client, &format!("{client}2"), -10);
    }
    assert_eq!(bench.start(0).unwrap(), "a1");
    // A client that leaves and comes back with an older key gains no turn.
    bench.release("a", "a2", None, 0);
    bench.want("a", "a3", -500);
    assert_eq!(bench.drain(0), "b1 c1 a3 b2 c2");
}

#[test]
fn a_shared_key_flies_once_and_leaves_every_line() {
    let mut bench = Bench::new();
    for client in ["a", "b", "c"] {
        bench.want(client, "shared", -10);
    }
    bench.want("b", "b1", -5);
    assert_eq!(bench.drain(0), "shared b1");
    bench.want("d", "shared", -10);
    assert_eq!(bench.start(0), None, "it is in flight already");
    bench.land("shared", 7, true);
    assert_eq!(bench.start(6), None);
    assert_eq!(bench.drain(7), "shared", "and once for all of them again");
}

#[test]
fn skipping_a_client_whose_keys_others_have_flown_costs_no_turn() {
    let mut bench = Bench::new();
    bench.want("a", "shared", -10);
    bench.want("b", "shared", -10);
    bench.want("b", "b1", -1);
    bench.want("c", "c1", -9);
    // `shared` was requested in a's turn; b still has its own turn.
    assert_eq!(bench.drain(0), "shared b1 c1");

    let mut bench = Bench::new();
    bench.want("a", "shared", -10);
    bench.want("b", "shared", -10);
    bench.want("c", "c1", -9);
    bench.want("c", "c2", -9);
    assert_eq!(bench.drain(0), "shared c1 c2", "b has nothing left and holds nobody up");
}

#[test]
fn asking_often_or_for_long_gains_nothing() {
    let mut bench = Bench::new();
    bench.want("x", "a", -1);
    bench.want("x", "b", -2);
    for _ in 0..10 {
        bench.want("x", "a", -300);
    }
    assert_eq!(bench.schedule.due(&bench.key("a")), Some(bench.at(-1)));
    assert_eq!(bench.drain(0), "b a");
}

#[test]
fn interest_counts_its_guards() {
    let mut bench = Bench::new();
    bench.want("x", "a", 0);
    bench.want("x", "a", 0);
    bench.release("x", "a", None, 0);
    assert_eq!(bench.schedule.len(), 1, "one is still held");
    bench.release("x", "a", None, 0);
    assert_eq!(bench.start(1), None, "nobody wants it");
    bench.assert_empty();
}

#[test]
fn departures_during_a_flight_leave_it_alone_and_nothing_after_it() {
    let mut bench = Bench::new();
    bench.want("x", "a", 0);
    assert_eq!(bench.start(0).unwrap(), "a");
    bench.release("x", "a", None, 1);
    assert!(bench.schedule.in_flight(&bench.key("a")));
    bench.land("a", 5, true);
    bench.assert_empty();
}

#[test]
fn of_several_guards_all_but_the_last_can_be_given_back_alone() {
    let mut bench = Bench::new();
    let (key, client) = (bench.key("a"), named("x"));
    bench.want("x", "a", 0);
    bench.want("x", "a", 0);
    bench.want("y", "a", 0);
    let number = bench.number("x", "a");
    assert!(bench.schedule.release_one_of_several(&key, &client, number));
    assert!(!bench.schedule.release_one_of_several(&key, &client, number), "the last one changes something");
    assert!(!bench.schedule.release_one_of_several(&key, &named("nobody"), number));
    bench.release("y", "a", None, 0);
    assert_eq!(bench.schedule.len(), 1, "x has one left");
    bench.release("x", "a", None, 0);
    bench.assert_empty();
}

#[test]
fn lingering_interest_is_served_once_and_ends_with_the_refresh() {
    let mut bench = Bench::new();
    bench.want("x", "a", 0);
    bench.release("x", "a", Some(10), 0);
    assert_eq!(bench.start(9).unwrap(), "a");
    bench.land("a", 9, true);
    assert_eq!(bench.start(9), None);
    bench.assert_empty();
}

#[test]
fn lingering_interest_ends_with_its_time() {
    let mut bench = Bench::new();
    bench.want("x", "a", 0);
    bench.want("y", "a", 0);
    bench.release("x", "a", Some(10), 0);
    bench.release("y", "a", Some(12), 0);
    bench.schedule.sweep(bench.at(10));
    assert_eq!((bench.schedule.lingering(), bench.schedule.len()), (1, 1));
    bench.schedule.sweep(bench.at(12));
    assert_eq!(bench.start(12), None);
    bench.assert_empty();
}

#[test]
fn a_time_that_is_over_is_no_lingering() {
    let mut bench = Bench::new();
    bench.want("x", "a", 0);
    bench.release("x", "a", Some(3), 3);
    bench.assert_empty();
}

#[test]
fn a_client_that_returns_holds_its_place_again() {
    let mut bench = Bench::new();
    bench.want("x", "a", -3);
    bench.release("x", "a", Some(10), 0);
    bench.want("x", "b", -2);
    bench.want("x", "a", 8);
    assert_eq!(bench.schedule.lingering(), 0, "it is held, not lingering");
    bench.schedule.sweep(bench.at(11));
    assert_eq!(bench.drain(11), "a b", "due when it was due before");
    // Interest that is held does not end with a refresh.
    bench.land("a", 13, true);
    assert_eq!(bench.drain(13), "a");
}

#[test]
fn the_latest_of_several_departures_counts() {
    let mut bench = Bench::new();
    for until in [Some(10), Some(4), None] {
        bench.want("x", "a", 0);
        bench.want("x", "a", 0);
        bench.release("x", "a", until, 0);
        bench.release("x", "a", None, 0);
    }
    assert_eq!(bench.schedule.lingering(), 0, "renewed by the last return, and then given up");
    bench.assert_empty();

    bench.want("x", "a", 0);
    bench.want("x", "a", 0);
    bench.release("x", "a", Some(10), 0);
    bench.release("x", "a", Some(4), 0);
    bench.schedule.sweep(bench.at(5));
    assert_eq!(bench.drain(5), "a");
}

#[test]
fn a_flight_turned_away_does_not_end_lingering() {
    let mut bench = Bench::new();
    bench.want("x", "a", 0);
    bench.release("x", "a", Some(10), 0);
    assert_eq!(bench.start(1).unwrap(), "a");
    bench.land("a", 0, false);
    assert_eq!((bench.schedule.lingering(), bench.schedule.len()), (1, 1));
    assert_eq!(bench.start(2).unwrap(), "a", "it keeps its place");
    bench.land("a", 5, true);
    bench.assert_empty();

    bench.want("x", "a", 0);
    bench.release("x", "a", Some(10), 0);
    bench.start(1);
    bench.schedule.sweep(bench.at(10));
    bench.land("a", 0, false);
    bench.assert_empty();
}

#[test]
fn a_key_can_be_made_due_sooner_and_never_later() {
    let mut bench = Bench::new();
    bench.want("x", "a", 30);
    bench.want("y", "a", 30);
    bench.schedule.hasten(&bench.key("a"), bench.at(20));
    assert_eq!(bench.schedule.next_due(bench.at(0)), Some(bench.at(20)));
    bench.schedule.hasten(&bench.key("a"), bench.at(25));
    assert_eq!(bench.start(19), None);
    assert_eq!(bench.drain(20), "a");
    // Only the landing decides when a key in flight is due again.
    bench.schedule.hasten(&bench.key("a"), bench.at(0));
    assert_eq!(bench.start(21), None);
    bench.land("a", 25, true);
    for client in ["x", "y"] {
        bench.release(client, "a", None, 25);
    }
    bench.assert_empty();
}

#[test]
fn ahead_counts_the_turns_before_a_key() {
    let mut bench = Bench::new();
    for id in ["a1", "a2", "a3", "a4"] {
        bench.want("a", id, -10);
    }
    for id in ["b1", "b2"] {
        bench.want("b", id, -10);
    }
    assert_eq!([bench.ahead("a", "a1", 0), bench.ahead("b", "b1", 0)], [1, 1], "whoever begins");
    assert_eq!([bench.ahead("a", "a2", 0), bench.ahead("b", "b2", 0)], [3, 3]);
    assert_eq!(bench.ahead("a", "a4", 0), 5, "never more than there are other keys");
    assert_eq!(bench.ahead("a", "unheard-of", 0), 0);
    let first = bench.start(0).unwrap();
    assert_eq!(bench.ahead("a", &first, 0), 0, "it is in flight");
}

/// A bug of the past: while the driver slept for want of tokens, clients that came due did not join the ring.
/// `ahead` counted only the clients in the ring, and promised a start that came after the turns of others.
#[test]
fn ahead_counts_clients_that_came_due_meanwhile() {
    let mut bench = Bench::new();
    bench.want("a", "a1", 0);
    assert_eq!(bench.ahead("a", "a1", 0), 0);
    bench.want("b", "b1", 5);
    bench.want("c", "c1", 5);
    assert_eq!(bench.ahead("a", "a1", 6), 2);
}

/// A bug of the past: clients whose keys were gone kept their place in the ring until its front reached them.
/// At a closed gate with one due key at the front, they piled up for minutes.
#[test]
fn clients_that_come_and_go_leave_nothing_in_the_ring() {
    let mut bench = Bench::new();
    bench.want("front", "a", 0);
    bench.want("front", "b", 0);
    for client in 0..50 {
        bench.want(&client.to_string(), "b", 0);
        assert!(bench.schedule.has_due(bench.at(0)));
        bench.release(&client.to_string(), "b", None, 0);
    }
    assert_eq!(bench.ahead("front", "a", 0), 0);
    for id in ["a", "b"] {
        bench.release("front", id, None, 0);
    }
    bench.assert_empty();
}

#[test]
fn the_largest_holder_gives_way_to_a_smaller_one_and_never_to_an_equal() {
    let mut bench = Bench::new();
    for id in 0..10 {
        bench.want("big", &id.to_string(), 0);
    }
    bench.want("small", "s", 0);
    // A key that a smaller holder wants too stays, although it is the newest.
    bench.want("big", "shared", 0);
    bench.want("small", "shared", 0);
    let evicted = bench.schedule.give_way(&named("new")).unwrap();
    assert_eq!(evicted.id(), "9", "the newest that no smaller holder wants");
    assert!(!bench.schedule.contains(&evicted));
    // The guard of the lost interest releases nothing of a later one.
    let lost = bench.number("big", "9");
    bench.want("big", "9", 0);
    bench.schedule.release(&evicted, &named("big"), lost, None, bench.at(0));
    assert!(bench.schedule.contains(&evicted));
    // A key that merely lingers goes first.
    bench.release("big", "3", Some(100), 0);
    assert_eq!(bench.schedule.give_way(&named("new")).unwrap().id(), "3");
    // Two with the same holding do not evict each other in turn.
    for id in ["n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"] {
        bench.want("new", id, 0);
    }
    assert_eq!(bench.schedule.give_way(&named("new")), None, "ten would not be smaller than ten");
    assert!(bench.schedule.give_way(&named("small")).is_some());
    while bench.start(0).is_some() {}
    assert_eq!(bench.schedule.give_way(&named("x")), None, "what is in flight stays");
}

#[test]
fn one_clients_lingering_gives_way_to_anothers() {
    let mut bench = Bench::new();
    for id in 0..5 {
        bench.want("big", &id.to_string(), 0);
        bench.release("big", &id.to_string(), Some(100), 0);
    }
    bench.want("small", "s", 0);
    let ended = bench.schedule.end_lingering_of_largest(&named("small")).expect("one gives way");
    assert!(!bench.schedule.contains(&ended), "nobody else wants it");
    assert_eq!((bench.schedule.lingering(), bench.schedule.len()), (4, 5));
    assert_eq!(bench.schedule.end_lingering_of_largest(&named("big")), None, "not its own");
}
