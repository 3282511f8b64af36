//! Invariants 1, 5 and 6: one flight for everybody, whoever leaves; nobody's interest, no request.

use std::sync::Arc;

use taskgate::core::answer::Origin;
use taskgate::core::snapshot::Phase;

use super::test_core::*;

#[tokio::test(start_paused = true)]
async fn a_thousand_looks_at_one_live_task_are_one_flight() {
    let core = TestCore::new();
    let mut asked = Vec::new();
    for client in 0..1000 {
        asked.push(core.ask(&format!("client{}", client % 50), "a").await);
    }
    core.call("a").answer(live("running")).await;
    core.no_call();
    let mut collapsed = 0;
    let mut first = None;
    for asked in asked {
        let answer = asked.got().await.unwrap();
        let first = first.get_or_insert_with(|| Arc::clone(&answer.state));
        assert!(Arc::ptr_eq(first, &answer.state), "everybody gets the same bytes, uncopied");
        let Origin::Fetched { collapsed: shared, .. } = answer.origin else { panic!("{:?}", answer.origin) };
        collapsed += usize::from(shared);
    }
    assert_eq!(collapsed, 999);
    assert_eq!(core.ask("late", "a").await.got().await.unwrap().origin, Origin::Hit);
    assert_eq!(core.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_request_a_refresh_and_none_for_a_finished_task() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    // Everybody asks all the time for nearly ten seconds: one request every two.
    for _ in 0..99 {
        pass(0.1).await;
        for client in ["x", "y", "z"] {
            drop(core.ask(client, "a").await);
        }
        for call in core.calls() {
            call.answer(live("2")).await;
        }
    }
    assert_eq!(core.sent().len(), 5);
    pass(2.0).await;
    core.fetch("x", "a", terminal("done")).await.unwrap();
    for wait in [60.0, 600.0] {
        pass(wait).await;
        for client in ["x", "y", "z"] {
            assert_eq!(body(&core.ask(client, "a").await.got().await), "done");
        }
    }
    assert_eq!(core.sent().len(), 6, "a finished task is not asked about again");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_states_that_expire_at_once_are_one_request_each() {
    let core = TestCore::with(|setup| setup.policy.patience = seconds(100.0));
    let ids: Vec<String> = (0..1000).map(|id| format!("t{id}")).collect();
    let expiry = tokio::time::Instant::now() + seconds(300.0);
    for _ in 0..2 {
        let before = core.sent().len();
        let mut asked = Vec::new();
        for client in ["x", "y", "z"] {
            for id in &ids {
                asked.push(core.ask(client, id).await);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < ids.len() {
            pass(0.05).await;
            for call in core.calls() {
                seen.insert(call.key.id().to_owned());
                let mut done = snapshot(200, Phase::Terminal, "done");
                done.result_lifetime = expiry.checked_duration_since(done.fetched);
                call.answer(Ok(done)).await;
            }
        }
        for asked in asked {
            assert_eq!(body(&asked.got().await), "done");
        }
        assert_eq!(core.sent().len() - before, 1000);
        tokio::time::sleep_until(expiry).await;
    }
    assert_window(&core.sent(), 800.0, 20);
}

#[tokio::test(start_paused = true)]
async fn the_first_client_leaves_and_nobody_notices() {
    let core = TestCore::new();
    for round in 0..1000 {
        let id = format!("hot{round}");
        let first = core.ask("first", &id).await;
        let second = core.ask("second", &id).await;
        let call = loop {
            match core.any_call() {
                Some(call) => break call,
                None => pass(0.01).await,
            }
        };
        first.leave().await;
        assert!(second.is_waiting());
        call.answer(terminal("done")).await;
        assert_eq!(body(&second.got().await), "done");
        assert_eq!(body(&core.ask("third", &id).await.got().await), "done");
    }
    assert_eq!(core.sent().len(), 1000, "one request each, and no second try");
    assert_eq!(core.mirror.overview().census, Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_flight_completes_though_everybody_has_left() {
    let core = TestCore::new();
    let asked = core.ask("x", "a").await;
    let call = core.call("a");
    asked.leave().await;
    call.answer(terminal("done")).await;
    assert_eq!(core.mirror.overview().census, Default::default());
    assert_eq!(core.ask("y", "a").await.got().await.unwrap().origin, Origin::Hit);
}

#[tokio::test(start_paused = true)]
async fn interest_that_lingers_is_served_once_and_then_nothing_goes_upstream() {
    let core = TestCore::with(|setup| setup.rate.burst = 1);
    // The only token goes to another task, so this one waits for its turn and its client leaves.
    let other = core.ask("y", "other").await;
    core.ask("x", "a").await.leave().await;
    core.call("other").answer(terminal("done")).await;
    assert_eq!(body(&other.got().await), "done");
    pass(0.1).await;
    core.call("a").answer(live("1")).await;
    assert_eq!(core.mirror.overview().census, Default::default(), "it has had its refresh");
    pass(3600.0).await;
    core.no_call();
    assert_eq!(core.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn interest_that_lingers_ends_with_its_time() {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 15.0;
        setup.rate.burst = 1;
    });
    let asked = core.ask("x", "a").await;
    // This one's turn is in four seconds; it leaves at once, and its place is kept for `patience`.
    core.ask("y", "b").await.leave().await;
    assert_eq!(core.mirror.overview().census.tasks, 2);
    core.call("a").answer(Err(limited(Some(60)))).await;
    let told = asked.got().await.unwrap_err().retry_after;
    assert!(told >= 60, "and this one's for as long as it was told: {told}");
    pass(61.0).await;
    core.call("a").answer(live("1")).await;
    pass(600.0).await;
    core.no_call();
    assert_eq!(core.mirror.overview().census, Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_flight_turned_away_is_no_refresh_and_interest_lingers_on() {
    let core = TestCore::new();
    let asked = core.ask("x", "a").await;
    core.call("a").answer(Err(limited(Some(20)))).await;
    let told = asked.got().await.unwrap_err().retry_after;
    pass(20.01).await;
    // Nobody waits any more, and the upstream turns this one away as well, for a moment.
    core.call("a").answer(Err(limited(Some(1)))).await;
    pass(1.2).await;
    core.call("a").answer(terminal("done")).await;
    pass((told as f64 - 21.2).max(0.0)).await;
    assert_eq!(core.ask("x", "a").await.got().await.unwrap().origin, Origin::Hit);
}

#[tokio::test(start_paused = true)]
async fn who_obeys_retry_after_finds_the_refresh_made() {
    let core = TestCore::new();
    let asked = core.ask("x", "a").await;
    core.call("a").answer(Err(limited(Some(20)))).await;
    let told = asked.got().await.unwrap_err().retry_after;
    pass(20.0).await;
    core.call("a").answer(terminal("done")).await;
    pass(told as f64 - 20.0).await;
    assert_eq!(core.ask("x", "a").await.got().await.unwrap().origin, Origin::Hit);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_sees_the_path_and_nothing_of_the_clients() {
    let core = TestCore::new();
    let one = core.ask("secret-one", "a").await;
    let two = core.ask("secret-two", "a").await;
    let call = core.call("a");
    assert_eq!((call.key.path(), format!("{:?}", call.key)), ("/v1/tasks/a", "/v1/tasks/a".to_owned()));
    call.answer(live("{}")).await;
    for asked in [one, two] {
        let answer = asked.got().await.unwrap();
        let kept = format!("{:?}", answer.state);
        assert!(!kept.contains("secret"), "{kept}");
    }
}

/// At most `burst + rate·t` requests in any window of t seconds.
#[track_caller]
pub fn assert_window(sent: &[tokio::time::Instant], per_minute: f64, burst: u32) {
    for (first, from) in sent.iter().enumerate() {
        for (last, to) in sent.iter().enumerate().skip(first) {
            let window = (*to - *from).as_secs_f64();
            let bound = f64::from(burst) + window * per_minute / 60.0 + 1e-6;
            assert!((last - first + 1) as f64 <= bound, "{} requests in {window} s", last - first + 1);
        }
    }
}
