//! The rule that holds for connections and bytes: the largest holder gives way to a smaller one, and is told.

use bytes::Bytes;

use super::*;
use crate::core::grant::Client;

fn places(max: usize) -> Places {
    Places::new(max, 1 << 20, |peer| peer.to_string() == "10.0.0.1")
}

fn open(places: &Places, address: &str) -> std::sync::Arc<Place> {
    places.open(format!("{address}:1").parse().unwrap())
}

fn named(name: &str) -> Client {
    Client::Named(name.into())
}

#[test]
fn one_address_that_holds_every_place_gives_way_to_another() {
    let places = places(10);
    let greedy: Vec<_> = (0..10).map(|_| open(&places, "192.0.2.1")).collect();
    for place in &greedy {
        assert_eq!(place.claim(&Client::at("192.0.2.1".parse().unwrap())), Ok(()));
    }
    let waiting: Vec<_> = greedy.iter().map(Place::wait).collect();
    let honest = open(&places, "192.0.2.2");
    assert_eq!(honest.claim(&Client::at("192.0.2.2".parse().unwrap())), Ok(()));
    assert_eq!(greedy.iter().filter(|place| place.has_to_leave()).count(), 1);
    assert!(greedy[0].has_to_leave(), "the one that has waited longest");
    // Until the holdings are equal, and no further.
    let client = Client::at("192.0.2.2".parse().unwrap());
    let mut more = vec![(honest.wait(), honest)];
    let admitted = (0..10).filter(|_| {
        let place = open(&places, "192.0.2.2");
        let is_admitted = place.claim(&client).is_ok();
        more.push((place.wait(), place));
        is_admitted
    });
    assert_eq!(admitted.count(), 4, "five and five");
    let more: Vec<_> = more.into_iter().filter(|(_, place)| place.claim(&client).is_ok()).collect();
    let left = greedy.iter().filter(|place| place.has_to_leave()).count();
    assert_eq!((left, more.iter().take(5).filter(|(_, place)| place.has_to_leave()).count()), (5, 0));
    drop((waiting, more));
}

#[test]
fn a_clients_own_idle_connection_gives_way_to_its_next() {
    let places = places(2);
    let client = Client::at("192.0.2.1".parse().unwrap());
    let (busy, idle) = (open(&places, "192.0.2.1"), open(&places, "192.0.2.1"));
    let _waits = busy.wait();
    idle.claim(&client).unwrap();
    let next = open(&places, "192.0.2.1");
    assert_eq!(next.claim(&client), Ok(()));
    assert!(idle.has_to_leave() && !busy.has_to_leave());
    let _waits = next.wait();
    assert_eq!(open(&places, "192.0.2.1").claim(&client), Err(Full));
}

#[test]
fn an_idle_connection_is_found_behind_many_that_wait() {
    let places = places(400);
    let held: Vec<_> = (0..400).map(|_| open(&places, "192.0.2.1")).collect();
    let _waits: Vec<_> = held[..399].iter().map(Place::wait).collect();
    assert!(!open(&places, "192.0.2.2").has_to_leave());
    assert!(held[399].has_to_leave() && !held[0].has_to_leave());
}

#[test]
fn who_comes_by_a_proxy_is_known_by_its_first_request() {
    let places = places(4);
    let idle = open(&places, "10.0.0.1");
    idle.claim(&named("a")).unwrap();
    let polls: Vec<_> = (0..3).map(|_| open(&places, "10.0.0.1")).collect();
    for place in &polls {
        place.claim(&named("a")).unwrap();
    }
    let _waits: Vec<_> = polls.iter().map(Place::wait).collect();
    let same = open(&places, "10.0.0.1");
    assert_eq!(same.claim(&named("a")), Err(Full), "it holds every place already");
    drop(same);
    let other = open(&places, "10.0.0.1");
    assert_eq!(other.claim(&named("b")), Ok(()));
    assert!(!idle.has_to_leave(), "the proxy may just be sending by it");
    assert!(polls[0].has_to_leave());
}

#[test]
fn connections_that_say_nothing_give_way_to_those_that_may() {
    let places = places(400);
    let held: Vec<_> =
        (0..400).map(|number| open(&places, &format!("192.0.{}.{}", number / 200, number % 200))).collect();
    let _waits: Vec<_> = held.iter().map(Place::wait).collect();
    let silent: Vec<_> = (0..100).map(|_| open(&places, "10.0.0.1")).collect();
    assert_eq!(silent.iter().filter(|place| place.has_to_leave()).count(), 36, "64 may try");
    assert!(silent[..36].iter().all(|place| place.has_to_leave()), "the oldest of them");
    assert!(!open(&places, "192.0.2.3").has_to_leave());
}

#[test]
fn a_shared_body_counts_once_and_the_longest_unread_answer_of_the_largest_holder_is_cut() {
    let places = places(100);
    let shared = Bytes::from(vec![0; 600 << 10]);
    let readers: Vec<_> = (0..50).map(|_| open(&places, "192.0.2.1")).collect();
    for place in &readers {
        place.hold(&shared).unwrap();
    }
    let own = |length: usize| Bytes::from(vec![0; length << 10]);
    let (honest, body) = (open(&places, "192.0.2.2"), own(300));
    honest.hold(&body).unwrap();
    assert!(readers.iter().all(|place| !place.has_to_leave()));
    // 900 KiB are held. Another 300 do not fit: the one with most gives way, whole.
    let (other, second) = (open(&places, "192.0.2.3"), own(300));
    other.hold(&second).unwrap();
    assert_eq!(
        readers.iter().filter(|place| place.has_to_leave()).count(),
        50,
        "the body goes with its last reader"
    );
    assert!(!honest.has_to_leave());
    // A client that holds most itself is turned away.
    let large = own(900);
    assert_eq!(other.hold(&large), Err(Full));
    honest.written();
    other.written();
    drop(readers);
    assert_eq!(other.hold(&large), Ok(()), "there is room again");
}
