//! The watch path: every change once, nothing missed, one interest however many watch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use taskgate::core::answer::Reason;
use taskgate::core::budget::{Budget, Permit, Rate};
use taskgate::core::failure::Failure;
use taskgate::core::grant::{Client, Grant};
use taskgate::core::mirror::Mirror;
use taskgate::core::ports::{Cancelling, Connection, Fetched, Fetching, Source};
use taskgate::core::refresh::Census;
use taskgate::core::task::{Route, Routes, TaskKey};
use taskgate::core::watch::{Watch, WatchEvent};
use taskgate::lifecycle::Lifecycle;
use tokio::time::{Duration, Instant, timeout};

use super::test_core::*;

#[track_caller]
fn shown(sight: Option<WatchEvent>) -> String {
    match sight {
        Some(WatchEvent::State(state, _)) => String::from_utf8(state.snapshot.body.to_vec()).unwrap(),
        other => panic!("no state: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_current_state_comes_first_and_then_every_change_once() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    let mut watch = watch(&core, "x", "a");
    assert_eq!(shown(next_sight(&mut watch).await), "1");
    assert!(next_sight(&mut watch).await.is_none());
    for (answer, told) in [("1", false), ("2", true), ("2", false), ("1", true)] {
        pass(5.1).await;
        core.call("a").answer(live(answer)).await;
        let seen = next_sight(&mut watch).await;
        if told {
            assert_eq!(shown(seen), answer);
        } else {
            assert!(seen.is_none(), "unchanged, but told: {seen:?}");
        }
    }
    pass(5.1).await;
    core.call("a").answer(terminal("end")).await;
    assert_eq!(shown(next_sight(&mut watch).await), "end");
    drop(watch);
    settle().await;
    assert_eq!(core.mirror.overview().census, Census::default());
}

#[tokio::test(start_paused = true)]
async fn who_misses_states_gets_the_newest() {
    let core = TestCore::new();
    let mut watch = watch(&core, "x", "a");
    for answer in ["1", "2", "3"] {
        settle().await;
        core.call("a").answer(live(answer)).await;
        pass(5.1).await;
    }
    assert_eq!(shown(next_sight(&mut watch).await), "3");
    assert!(next_sight(&mut watch).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn many_watchers_are_one_interest_at_the_tasks_own_pace() {
    let core = TestCore::new();
    let mut watches: Vec<Watch> = (0..500).map(|n| watch(&core, &format!("c{n}"), "a")).collect();
    let start = Instant::now();
    let mut flights = 0;
    while start.elapsed() < Duration::from_secs(60) {
        settle().await;
        for call in core.calls() {
            flights += 1;
            call.answer(live(&flights.to_string())).await;
            for watch in &mut watches {
                assert_eq!(shown(timeout(Duration::ZERO, watch.next()).await.ok()), flights.to_string());
            }
        }
        pass(0.5).await;
    }
    // fresh_for 2 s, and a twentieth of an age below 60 s is at most 3 s.
    assert!((20..=30).contains(&flights), "{flights}");
    drop(watches);
    settle().await;
    let before = core.sent().len();
    pass(60.0).await;
    assert_eq!(core.sent().len(), before, "without a watcher nobody asks");
    assert_eq!(core.mirror.overview().census, Census::default());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_resumes_is_told_only_what_is_new() {
    let core = TestCore::new();
    let known = core.fetch("x", "a", live("1")).await.unwrap();
    let tag: HeaderValue = known.state.snapshot.etag.clone();
    let mut watch = core.mirror.watch(&core.grant("x", "a"), Some(tag)).unwrap();
    assert!(next_sight(&mut watch).await.is_none());
    pass(2.1).await;
    core.call("a").answer(live("2")).await;
    assert_eq!(shown(next_sight(&mut watch).await), "2");
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_once_and_its_end_too() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    let mut watch = watch(&core, "x", "a");
    assert_eq!(shown(next_sight(&mut watch).await), "1");
    pass(2.1).await;
    core.call("a").answer(Err(Failure::ServerError { status: 500, retry_after: None })).await;
    let seen = next_sight(&mut watch).await;
    let Some(WatchEvent::Trouble(refusal)) = seen else { panic!("{seen:?}") };
    assert_eq!(refusal.reason, Reason::Upstream(Failure::ServerError { status: 500, retry_after: None }));
    pass(1.1).await;
    core.call("a").answer(Err(DOWN)).await;
    assert!(next_sight(&mut watch).await.is_none(), "the same trouble");
    pass(2.1).await;
    core.call("a").answer(live("1")).await;
    assert_eq!(shown(next_sight(&mut watch).await), "1", "the same state, but the trouble is over");
}

#[tokio::test(start_paused = true)]
async fn a_gate_closed_by_others_is_told_to_those_who_hear_nothing() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    let mut watch = watch(&core, "x", "a");
    assert_eq!(shown(next_sight(&mut watch).await), "1");
    let other = core.ask("y", "b").await;
    core.call("b").answer(Err(limited(Some(120)))).await;
    drop(other);
    assert!(next_sight(&mut watch).await.is_none());
    pass(2.0 + 5.1).await;
    let seen = next_sight(&mut watch).await;
    assert!(
        matches!(seen, Some(WatchEvent::Trouble(refusal)) if matches!(refusal.reason, Reason::Upstream(Failure::RateLimited { .. }))),
        "{seen:?}"
    );
    pass(20.0).await;
    assert!(next_sight(&mut watch).await.is_none(), "once");
}

#[tokio::test(start_paused = true)]
async fn to_wait_for_a_turn_is_no_trouble() {
    let core = TestCore::with(|setup| {
        setup.rate = Rate { per_minute: 2.0, burst: 1 };
        setup.learn = false;
    });
    let mut watch = watch(&core, "x", "a");
    settle().await;
    core.call("a").answer(live("1")).await;
    assert_eq!(shown(next_sight(&mut watch).await), "1");
    for _ in 0..8 {
        pass(15.0).await;
        for call in core.calls() {
            call.answer(live("1")).await;
        }
        let seen = next_sight(&mut watch).await;
        assert!(seen.is_none(), "nothing has changed: {seen:?}");
    }
    assert!(core.sent().len() >= 4, "and it was asked again, every 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_task_missing_three_times_in_a_row_is_gone() {
    let core = TestCore::with(|setup| setup.policy.gone_after = Duration::ZERO);
    let mut watch = watch(&core, "x", "a");
    for is_live in [false, false, true, false, false] {
        settle().await;
        core.call("a").answer(if is_live { live("1") } else { missing() }).await;
        assert_eq!(next_sight(&mut watch).await.is_some(), is_live);
        pass(2.1).await;
    }
    core.call("a").answer(missing()).await;
    let seen = next_sight(&mut watch).await;
    assert!(matches!(seen, Some(WatchEvent::Gone(_))), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_lasts_as_long_as_it_may_and_no_longer() {
    let core = TestCore::with(|setup| setup.learn = false);
    let start = Instant::now();
    let (mirror, grant) = (core.mirror.clone(), core.grant("x", "a"));
    let waiting = core.lifecycle.spawn(async move {
        mirror.wait(&grant, tokio::time::sleep(Duration::from_secs(30)), |_| false).await
    });
    settle().await;
    while start.elapsed() < Duration::from_secs(29) {
        for call in core.calls() {
            call.answer(live("1")).await;
        }
        pass(1.0).await;
    }
    assert!(!waiting.is_finished());
    pass(1.1).await;
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.state.snapshot.body, "1");
    assert_eq!(core.mirror.overview().census, Census::default());
}

/// Answers at once, or a few turns of the scheduler later.
struct Prompt(AtomicUsize);

impl Source for Prompt {
    fn fetch<'a>(&'a self, _: &'a TaskKey, _permit: Permit, _: Connection) -> Fetching<'a> {
        Box::pin(async move {
            for _ in 0..self.0.fetch_add(1, Ordering::Relaxed) % 4 {
                tokio::task::yield_now().await;
            }
            terminal("end").map(Fetched::from)
        })
    }

    fn cancel<'a>(&'a self, _: &'a TaskKey, _: Permit) -> Cancelling<'a> {
        unreachable!("nobody cancels here")
    }

    fn distrust_connections(&self) {}
}

/// R5: somebody begins to watch in the very moment in which the task completes, a hundred thousand times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_watcher_misses_a_completion_it_races_with() {
    const RACES: usize = 100_000;
    let setup = Setup::default();
    let lifecycle = Lifecycle::default();
    let rate = Rate { per_minute: 1e12, burst: 1_000_000 };
    let budget = Budget::new(rate, 64, Instant::now());
    let routes = Routes::new(vec![Route::parse("/v1/tasks/{id}").unwrap()]);
    let source = Arc::new(Prompt(AtomicUsize::new(0)));
    let mirror =
        Mirror::start(setup.policy, setup.pacer(), routes.clone(), 16 << 20, budget, source, &lifecycle);
    for race in 0..RACES {
        let key = routes.find(&format!("/v1/tasks/t{race}")).unwrap();
        let grant = Grant::issue(key, Client::Named("x".into()), None);
        let (looking, watching) = ((mirror.clone(), grant.clone()), (mirror.clone(), grant));
        let look = lifecycle
            .spawn(async move { looking.0.look(&looking.1, std::future::pending()).await.map(drop) });
        let watch = lifecycle.spawn(async move {
            for _ in 0..race % 5 {
                tokio::task::yield_now().await;
            }
            if race % 2 == 0 {
                let mut watch = watching.0.watch(&watching.1, None).unwrap();
                assert!(matches!(watch.next().await, WatchEvent::State(..)));
            } else {
                watching.0.wait(&watching.1, std::future::pending(), |_| false).await.unwrap();
            }
        });
        let both = async {
            look.await.unwrap().unwrap();
            watch.await.unwrap();
        };
        timeout(Duration::from_secs(60), both).await.expect("a watcher hangs");
    }
}
