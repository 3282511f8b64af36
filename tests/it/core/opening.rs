//! Opening contents: a permit each, nothing kept, and a client that leaves takes its request with it.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use taskgate::core::answer::Reason;
use taskgate::core::budget::Position;
use taskgate::core::content::Opened;
use taskgate::core::failure::Failure;

use super::test_core::*;

fn none_yet() -> Opened {
    let content_type = HeaderValue::from_static("application/json");
    Opened::Answer { status: StatusCode::NOT_FOUND, content_type, retry_after: None, body: Bytes::new() }
}

#[tokio::test(start_paused = true)]
async fn each_is_asked_for_once_and_none_is_kept() {
    let core = TestCore::new();
    let openings = [core.open("c", "a").await, core.open("c", "a").await];
    for opening in openings {
        core.any_opening().expect("never coalesced").answer(Ok(none_yet())).await;
        assert!(matches!(opening.await.unwrap(), Ok(Opened::Answer { .. })));
    }
    assert!(!core.mirror.knows(&core.key("a")));
    pass(60.0).await;
    assert!(core.any_opening().is_none());
    assert_eq!(core.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_its_request() {
    let core = TestCore::new();
    let opening = core.open("c", "a").await;
    let call = core.any_opening().unwrap();
    assert!(call.is_wanted());
    opening.abort();
    settle().await;
    assert!(!call.is_wanted());
    assert_eq!(core.budget.reading(tokio::time::Instant::now()).in_flight, 0);
    assert_eq!(core.budget.gate(), Position::Open, "it has told nothing of the upstream");
}

/// The gate would have stayed shut for good: nobody else tries while a probe is out.
#[tokio::test(start_paused = true)]
async fn a_probe_goes_on_without_its_client() {
    let core = TestCore::new();
    let _refused = core.open("c", "a").await;
    core.any_opening().unwrap().answer(Err(limited(Some(3)))).await;
    let opening = core.open("c", "a").await;
    pass(2.9).await;
    assert!(core.any_opening().is_none());
    pass(0.2).await;
    let call = core.any_opening().expect("nobody reads who could be the probe");
    assert!(matches!(core.budget.gate(), Position::Probing { .. }));
    opening.abort();
    settle().await;
    assert!(call.is_wanted());
    call.answer(Ok(none_yet())).await;
    assert_eq!(core.budget.gate(), Position::Open);
}

#[tokio::test(start_paused = true)]
async fn what_fails_closes_the_gate_for_the_account_alone() {
    let core = TestCore::new();
    for id in ["a", "b", "c", "d", "e", "f"] {
        let opening = core.open(id, id).await;
        core.any_opening().unwrap().answer(Err(DOWN)).await;
        assert_eq!(opening.await.unwrap().err().unwrap().reason, Reason::Upstream(DOWN));
    }
    assert_eq!(core.budget.gate(), Position::Open);
    let opening = core.open("c", "a").await;
    core.any_opening().unwrap().answer(Err(limited(Some(30)))).await;
    assert!(matches!(core.budget.gate(), Position::Closed { .. }));
    let refusal = opening.await.unwrap().err().unwrap();
    assert!(matches!(refusal.reason, Reason::Upstream(Failure::RateLimited { .. })));
    assert_spread(refusal.retry_after, 30.0);
}

/// Two films of another owner on a page had stopped all polls for half a minute, although the key was good.
#[tokio::test(start_paused = true)]
async fn a_key_that_may_not_read_contents_stops_nobody_who_reads_tasks() {
    let core = TestCore::new();
    for id in ["a", "b", "c"] {
        let opening = core.open("c", id).await;
        core.any_opening().unwrap().answer(Err(Failure::KeyRejected)).await;
        assert_eq!(opening.await.unwrap().err().unwrap().reason, Reason::Upstream(Failure::KeyRejected));
    }
    assert_eq!(core.budget.gate(), Position::Open);
    // As a probe it finds out nothing, and the next one goes a second later.
    let _refused = core.open("c", "a").await;
    core.any_opening().unwrap().answer(Err(limited(Some(3)))).await;
    let _rejected = core.open("c", "a").await;
    pass(3.1).await;
    core.any_opening().unwrap().answer(Err(Failure::KeyRejected)).await;
    assert!(matches!(core.budget.gate(), Position::Closed { .. }));
    let _next = core.open("c", "b").await;
    pass(1.1).await;
    core.any_opening().expect("the next probe").answer(Ok(none_yet())).await;
    assert_eq!(core.budget.gate(), Position::Open);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_ends_after_the_timeout() {
    let core = TestCore::new();
    let opening = core.open("c", "a").await;
    let _hanging = core.any_opening().unwrap();
    pass(9.9).await;
    assert!(!opening.is_finished());
    pass(0.2).await;
    assert_eq!(opening.await.unwrap().err().unwrap().reason, Reason::Upstream(Failure::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn nobody_fills_the_queue_alone() {
    let core = TestCore::with(|setup| setup.max_in_flight = 1);
    let _hanging = core.open("c", "a").await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(core.open("c", "a").await);
    }
    let refused = core.open("c", "b").await;
    assert_eq!(refused.await.unwrap().err().unwrap().reason, Reason::Overloaded);
    // Cancellations have a queue of their own length.
    let cancelling = core.cancel("c", "a").await;
    waiting.push(core.open("d", "b").await);
    assert!(!cancelling.is_finished() && waiting.iter().all(|opening| !opening.is_finished()));
}
