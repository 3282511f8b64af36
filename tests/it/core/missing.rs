//! Missing states: short-lived, never in a finished task's place, in a memory of their own.

use taskgate::core::answer::{Origin, Reason};

use super::test_core::*;

#[tokio::test(start_paused = true)]
async fn a_404_is_mirrored_and_fresh_for_its_own_time() {
    let core = TestCore::new();
    let answer = core.fetch("x", "a", missing()).await.unwrap();
    assert_eq!((answer.state.snapshot.status.as_u16(), answer.retry_after), (404, None));
    pass(1.9).await;
    assert_eq!(core.ask("y", "a").await.got().await.unwrap().origin, Origin::Hit);
    pass(0.2).await;
    core.fetch("x", "a", missing()).await.unwrap();
    assert_eq!(core.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_appears_late_is_found() {
    let core = TestCore::new();
    core.fetch("x", "a", missing()).await.unwrap();
    pass(2.1).await;
    assert_eq!(body(&core.fetch("x", "a", live("1")).await), "1");
    assert_eq!(body(&core.ask("x", "a").await.got().await), "1", "the 404 is forgotten");
    pass(2.1).await;
    assert_eq!(body(&core.fetch("x", "a", terminal("done")).await), "done");
    assert_eq!(body(&core.ask("x", "a").await.got().await), "done");
}

#[tokio::test(start_paused = true)]
async fn an_old_404_stands_in_for_nothing() {
    let core = TestCore::new();
    core.fetch("x", "a", missing()).await.unwrap();
    pass(2.1).await;
    assert_eq!(core.fetch("x", "a", Err(DOWN)).await.unwrap_err().reason, Reason::Upstream(DOWN));
}

/// A 404 left the live state before it in the store. When the upstream then failed, that older state
/// stood in: whoever had been told that the task is gone saw it run again.
#[tokio::test(start_paused = true)]
async fn a_live_state_from_before_a_404_never_comes_back() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    pass(2.1).await;
    core.fetch("x", "a", missing()).await.unwrap();
    pass(2.1).await;
    let got = core.fetch("x", "a", Err(DOWN)).await;
    assert_eq!(got.unwrap_err().reason, Reason::Upstream(DOWN));
}

#[tokio::test(start_paused = true)]
async fn a_404_never_replaces_a_finished_task() {
    let core = TestCore::with(|setup| setup.policy.retention.terminal_ttl = seconds(60.0));
    core.fetch("x", "a", terminal("done")).await.unwrap();
    pass(61.0).await;
    let gone = core.fetch("x", "a", missing()).await.unwrap();
    assert_eq!(gone.state.snapshot.status.as_u16(), 404, "it has expired: the upstream's word");
    pass(2.1).await;
    let got = core.fetch("x", "a", Err(DOWN)).await;
    assert_eq!(body(&got), "done", "but it still stands in");
}

#[tokio::test(start_paused = true)]
async fn random_ids_push_out_no_finished_task() {
    let core = TestCore::with(|setup| {
        setup.max_bytes = 256 << 10;
        setup.rate.per_minute = 600_000.0;
        setup.rate.burst = 100;
    });
    core.fetch("x", "hot", terminal("done")).await.unwrap();
    for id in 0..3000 {
        // Some thousand ids that nobody has heard of, in a memory that holds some hundred states.
        core.fetch("guesser", &format!("random{id}"), missing()).await.unwrap();
        pass(0.001).await;
    }
    assert_eq!(core.ask("x", "hot").await.got().await.unwrap().origin, Origin::Hit);
}
