//! What one replica's request means to the others: the lease of its task, and the gate.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use taskgate::core::answer::Answer;
use taskgate::core::budget::{Position, Rate};
use taskgate::core::content::Opened;
use taskgate::core::failure::Failure;
use taskgate::core::shared::SharedTier;
use taskgate::core::snapshot::Snapshot;
use taskgate::core::watch::WatchEvent;

use super::shared_memory::{Line, Memory, Way};
use super::test_core::*;

fn two() -> [TestCore; 2] {
    two_with_ways().map(|(core, _)| core)
}

fn two_with_ways() -> [(TestCore, Arc<Way>); 2] {
    let memory = Memory::new(Rate { per_minute: 800.0, burst: 20 });
    [(), ()].map(|()| {
        let way = Way::to(&memory);
        let tier: Arc<dyn SharedTier> = Arc::<Way>::clone(&way);
        (TestCore::with(|setup| setup.tier = Some(tier)), way)
    })
}

fn because(core: &TestCore) -> Option<Failure> {
    match core.budget.gate() {
        Position::Open => None,
        Position::Closed { because, .. } | Position::Probing { because } => Some(because),
    }
}

fn none_yet() -> Opened {
    let content_type = HeaderValue::from_static("application/json");
    Opened::Answer { status: StatusCode::NOT_FOUND, content_type, retry_after: None, body: Bytes::new() }
}

/// It had ended the probe of another replica, which then opened nothing.
#[tokio::test(start_paused = true)]
async fn a_key_that_may_not_read_a_content_ends_no_probe_of_another_replica() {
    let [a, b] = two();
    let _limited = a.open("c", "limited").await;
    pass(0.2).await;
    let limiting = a.any_opening().unwrap();
    let _forbidden = a.open("c", "forbidden").await;
    pass(0.2).await;
    let forbidding = a.any_opening().unwrap();
    limiting.answer(Err(limited(Some(3)))).await;
    pass(0.2).await;
    let asked = b.ask("c", "t").await;
    pass(3.2).await;
    let probe = b.call("t");
    forbidding.answer(Err(Failure::KeyRejected)).await;
    pass(0.2).await;
    let waiting = a.ask("c", "u").await;
    pass(1.0).await;
    a.no_call();
    probe.answer(live("1")).await;
    pass(0.2).await;
    assert_eq!(body(&asked.got().await), "1");
    pass(1.0).await;
    a.call("u").answer(live("2")).await;
    pass(0.2).await;
    assert_eq!(body(&waiting.got().await), "2");
}

/// As the probe of all it had told the others that the key was rejected.
#[tokio::test(start_paused = true)]
async fn a_key_that_may_not_read_a_content_says_nothing_as_a_probe_of_all() {
    let [a, b] = two();
    let limiting = b.open("c", "limited").await;
    pass(0.2).await;
    b.any_opening().unwrap().answer(Err(limited(Some(3)))).await;
    pass(3.2).await;
    let _forbidden = a.open("c", "forbidden").await;
    pass(0.2).await;
    assert_eq!(because(&a), None, "it has heard nothing of the closure");
    a.any_opening().expect("the probe").answer(Err(Failure::KeyRejected)).await;
    pass(0.2).await;
    let _next = b.open("c", "next").await;
    pass(0.2).await;
    assert!(b.any_opening().is_none(), "the next probe goes a second later");
    assert_eq!(because(&b), Some(limited(Some(3))));
    pass(1.0).await;
    b.any_opening().expect("the next probe").answer(Ok(none_yet())).await;
    pass(0.2).await;
    assert_eq!(because(&b), None);
    drop(limiting);
}

/// The key is good for all other tasks: one that is always turned away tells the others nothing either.
#[tokio::test(start_paused = true)]
async fn a_task_that_is_always_turned_away_says_nothing_as_a_probe_of_all() {
    let [a, b] = two();
    let _lone = a.ask("c", "lone").await;
    pass(0.2).await;
    a.call("lone").answer(Err(Failure::KeyRejected)).await;
    let other = a.ask("c", "other").await;
    pass(1.3).await;
    a.call("other").answer(terminal("done")).await;
    pass(0.2).await;
    assert_eq!(body(&other.got().await), "done");
    assert_eq!(because(&a), None, "it was that one task's");
    let _limited = b.open("c", "limited").await;
    pass(0.2).await;
    b.any_opening().unwrap().answer(Err(limited(Some(3)))).await;
    pass(3.2).await;
    let _again = a.ask("c", "lone").await;
    pass(0.2).await;
    a.call("lone").answer(Err(Failure::KeyRejected)).await;
    pass(0.2).await;
    let _next = b.open("c", "next").await;
    pass(0.2).await;
    assert_eq!(because(&b), Some(limited(Some(3))));
    pass(1.2).await;
    b.any_opening().expect("the next probe").answer(Ok(none_yet())).await;
    pass(0.2).await;
    assert_eq!(because(&b), None);
}

/// A lease had outlived the time-out: whoever waited for a replica that had died got an error.
#[tokio::test(start_paused = true)]
async fn a_slow_request_holds_its_task_and_that_of_a_replica_that_dies_does_not() {
    let [(a, way), (b, _)] = two_with_ways();
    let _asked = a.ask("c", "t").await;
    pass(0.2).await;
    let slow = a.call("t");
    let waiting = b.ask("c", "t").await;
    pass(6.0).await;
    b.no_call();
    slow.answer(live("1")).await;
    pass(0.2).await;
    assert_eq!(body(&waiting.got().await), "1");
    // Now it dies in mid-flight: nothing that it sends arrives any more.
    let _asked = a.ask("c", "u").await;
    pass(1.0).await;
    let _lost = a.call("u");
    let waiting = b.ask("c", "u").await;
    way.becomes(Line::Dead);
    pass(3.0).await;
    b.call("u").answer(live("2")).await;
    pass(0.2).await;
    assert_eq!(body(&waiting.got().await), "2");
}

/// The probe of a replica that has died had kept the gate closed for as long as a request may take.
#[tokio::test(start_paused = true)]
async fn the_probe_of_a_replica_that_dies_is_soon_another_ones() {
    let [(a, way), (b, _)] = two_with_ways();
    let _limited = a.open("c", "limited").await;
    pass(0.2).await;
    a.any_opening().unwrap().answer(Err(limited(Some(3)))).await;
    pass(3.2).await;
    let _probe = a.open("c", "probe").await;
    pass(0.2).await;
    let _lost = a.any_opening().expect("the probe");
    let _next = b.open("c", "next").await;
    pass(3.5).await;
    assert!(b.any_opening().is_none(), "one probe alone, however slow");
    way.becomes(Line::Dead);
    let _next = b.open("c", "next").await;
    pass(3.5).await;
    assert!(b.any_opening().is_some(), "the next probe");
}

/// Fetches the task `t` by one replica.
async fn fetch(core: &TestCore, answer: Result<Snapshot, Failure>) -> Answer {
    let asked = core.ask("c", "t").await;
    pass(0.2).await;
    core.call("t").answer(answer).await;
    pass(0.2).await;
    asked.got().await.unwrap()
}

/// A client that changes the replica while the shared tier is away had been told the state before its own, as if it were
/// news; after an end, that the task ran again.
#[tokio::test(start_paused = true)]
async fn a_watch_that_resumes_at_a_replica_alone_is_told_nothing_earlier() {
    let [(a, way), (b, _)] = two_with_ways();
    assert_eq!(fetch(&a, live("1")).await.state.snapshot.body, "1");
    way.becomes(Line::Dead);
    pass(2.5).await;
    let told = fetch(&b, live("2")).await.state.snapshot.etag.clone();
    let mut watch = a.mirror.watch(&a.grant("c", "t"), Some(told)).unwrap();
    let early = tokio::time::timeout(seconds(0.1), watch.next()).await;
    assert!(early.is_err(), "{early:?}");
    pass(0.5).await;
    let early = tokio::time::timeout(seconds(0.5), watch.next()).await;
    assert!(early.is_err(), "{early:?}");
    a.call("t").answer(live("3")).await;
    let next = tokio::time::timeout(seconds(1.0), watch.next()).await.unwrap();
    assert!(matches!(&next, WatchEvent::State(state, _) if state.snapshot.body == "3"), "{next:?}");
}

/// While the tier answers, an end that the others know is told at once.
#[tokio::test(start_paused = true)]
async fn a_watch_that_resumes_at_another_replica_is_told_the_end() {
    let [(a, _), (b, way)] = two_with_ways();
    assert_eq!(fetch(&b, live("1")).await.state.snapshot.body, "1");
    way.becomes(Line::Dead);
    pass(2.5).await;
    assert_eq!(fetch(&a, terminal("2")).await.state.snapshot.body, "2");
    way.becomes(Line::Good);
    let (grant, told) = (b.grant("c", "t"), HeaderValue::from_static("\"x\""));
    b.mirror.catch_up(&grant, Some(&told)).await;
    let mut watch = b.mirror.watch(&grant, Some(told)).unwrap();
    let next = tokio::time::timeout(seconds(0.5), watch.next()).await.unwrap();
    assert!(matches!(&next, WatchEvent::State(state, _) if state.snapshot.body == "2"), "{next:?}");
}
