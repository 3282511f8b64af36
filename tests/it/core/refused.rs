//! Refusals: a 4xx other than 404 and 410 tells nothing about the task. It never replaces a state, and is tried again.

use taskgate::core::answer::{Origin, Reason};
use taskgate::core::failure::Failure;
use taskgate::core::watch::WatchEvent;
use tokio::time::Instant;

use super::test_core::*;

const REFUSED: Reason = Reason::Upstream(Failure::Refused { status: 403 });

#[tokio::test(start_paused = true)]
async fn with_nothing_known_it_is_mirrored_until_it_is_tried_again() {
    let core = TestCore::new();
    for pause in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        let got = core.fetch("x", "a", refused(403)).await.unwrap();
        assert_eq!(got.state.snapshot.status.as_u16(), 403);
        assert!(matches!(got.origin, Origin::Fetched { status: 403, stored: true, .. }));
        pass(pause - 0.1).await;
        assert_eq!(core.ask("y", "a").await.got().await.unwrap().origin, Origin::Hit);
        pass(0.2).await;
    }
    assert_eq!(body(&core.fetch("x", "a", live("1")).await), "1");
}

#[tokio::test(start_paused = true)]
async fn a_known_state_stands_in_for_it() {
    for known in [live("known"), terminal("known")] {
        let core = TestCore::with(|setup| setup.policy.retention.terminal_ttl = seconds(2.0));
        core.fetch("x", "a", known).await.unwrap();
        pass(2.1).await;
        let got = core.fetch("x", "a", refused(403)).await;
        assert_eq!(body(&got), "known");
        assert_eq!(got.unwrap().origin, Origin::StandIn { reason: REFUSED, asked: true });
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_told_once_and_goes_on() {
    let core = TestCore::new();
    let mut watch = watch(&core, "x", "a");
    for pause in [1.0, 2.0, 4.0, 8.0, 16.0] {
        settle().await;
        core.call("a").answer(refused(403)).await;
        let seen = next_sight(&mut watch).await;
        assert_eq!(seen.is_some(), pause == 1.0, "{seen:?}");
        if let Some(seen) = seen {
            assert!(matches!(&seen, WatchEvent::Trouble(trouble) if trouble.reason == REFUSED), "{seen:?}");
        }
        pass(pause - 0.1).await;
        core.no_call();
        pass(0.2).await;
    }
    core.call("a").answer(live("1")).await;
    assert!(matches!(next_sight(&mut watch).await, Some(WatchEvent::State(..))));
}

#[tokio::test(start_paused = true)]
async fn it_breaks_a_row_of_missing_states() {
    let core = TestCore::with(|setup| setup.policy.gone_after = seconds(4.0));
    let mut watch = watch(&core, "x", "a");
    for is_refused in [false, false, true, false, false] {
        settle().await;
        core.call("a").answer(if is_refused { refused(403) } else { missing() }).await;
        let seen = next_sight(&mut watch).await;
        assert_eq!(matches!(seen, Some(WatchEvent::Trouble(_))), is_refused, "{seen:?}");
        assert!(seen.is_none() || is_refused, "{seen:?}");
        pass(2.1).await;
    }
    core.call("a").answer(missing()).await;
    assert!(matches!(next_sight(&mut watch).await, Some(WatchEvent::Gone(_))));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_gone_only_after_the_time_that_it_may_take_to_appear() {
    let core = TestCore::new();
    let mut watch = watch(&core, "x", "a");
    let start = Instant::now();
    loop {
        settle().await;
        core.call("a").answer(missing()).await;
        let seen = next_sight(&mut watch).await;
        if start.elapsed() >= seconds(15.0) {
            assert!(matches!(seen, Some(WatchEvent::Gone(_))), "{seen:?}");
            break;
        }
        assert!(seen.is_none(), "{:?}: {seen:?}", start.elapsed());
        pass(2.1).await;
    }
}
