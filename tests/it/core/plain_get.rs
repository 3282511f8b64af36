//! The plain GET: at once, with the shared refresh, or at once with what is known and when to return.

use taskgate::core::answer::{Origin, Reason};
use taskgate::core::snapshot::Phase;

use super::test_core::*;

/// One request a minute, so that the next one is far away.
fn short_budget() -> TestCore {
    TestCore::with(|setup| {
        setup.learn = false;
        setup.rate.per_minute = 1.0;
        setup.rate.burst = 1;
    })
}

#[tokio::test(start_paused = true)]
async fn fresh_states_are_handed_out_at_once_and_stale_ones_are_fetched() {
    let core = TestCore::new();
    let answer = core.fetch("x", "a", live("1")).await.unwrap();
    let fetched =
        |known_before| Origin::Fetched { known_before, status: 200, stored: true, collapsed: false };
    assert_eq!(answer.origin, fetched(false));
    assert_spread(answer.retry_after.unwrap(), 2.0);
    pass(1.9).await;
    let hit = core.ask("x", "a").await.got().await.unwrap();
    assert_eq!(hit.origin, Origin::Hit);
    assert_spread(hit.retry_after.unwrap(), 0.1);
    pass(0.2).await;
    let answer = core.fetch("x", "a", terminal("2")).await.unwrap();
    assert_eq!((answer.origin, answer.retry_after), (fetched(true), None));
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_a_start_within_patience_and_then_to_its_end() {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 15.0;
        setup.rate.burst = 1;
    });
    core.fetch("y", "other", terminal("done")).await.unwrap();
    let asked = core.ask("x", "a").await;
    core.no_call();
    pass(3.9).await;
    assert!(asked.is_waiting());
    core.no_call();
    pass(0.11).await;
    let call = core.call("a");
    // Patience was for the start; from then on it is the flight's time that counts.
    pass(9.5).await;
    assert!(asked.is_waiting());
    call.answer(live("1")).await;
    assert_eq!(body(&asked.got().await), "1");
}

#[tokio::test(start_paused = true)]
async fn a_short_budget_is_told_at_once() {
    let core = short_budget();
    core.fetch("y", "known", live("1")).await.unwrap();
    pass(10.0).await;
    let refusal = core.ask("x", "new").await.got().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Budget);
    assert_spread(refusal.retry_after, 50.0);
    let known = core.ask("y", "known").await.got().await;
    assert_eq!(stands_in(&known), (Reason::Budget, false));
    assert_eq!(body(&known), "1");
    // Each of the two may come first.
    assert_spread(known.unwrap().retry_after.unwrap(), 110.0);
    core.no_call();
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_is_told_at_once_with_its_cause() {
    let core = TestCore::new();
    core.fetch("y", "known", live("1")).await.unwrap();
    pass(3.0).await;
    let asked = core.ask("x", "new").await;
    core.call("new").answer(Err(limited(Some(40)))).await;
    assert_eq!(asked.got().await.unwrap_err().reason, Reason::Upstream(limited(Some(40))));
    pass(4.0).await;
    let known = core.ask("y", "known").await.got().await;
    assert_eq!(stands_in(&known), (Reason::Upstream(limited(Some(40))), false));
    let told = known.unwrap().retry_after.unwrap();
    assert!((36..=36 + 8 + 2).contains(&told), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_tasks_own_back_off_is_waited_for_or_told_at_once() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    pass(3.0).await;
    let got = core.fetch("x", "a", Err(DOWN)).await;
    assert_eq!(stands_in(&got), (Reason::Upstream(DOWN), true));
    assert_spread(got.unwrap().retry_after.unwrap(), 1.0);
    // One, two and four seconds are within patience.
    for pause in [1.0, 2.0, 4.0] {
        let asked = core.ask("x", "a").await;
        pass(pause - 0.01).await;
        assert!(asked.is_waiting());
        core.no_call();
        pass(0.02).await;
        core.call("a").answer(Err(DOWN)).await;
        assert_eq!(stands_in(&asked.got().await), (Reason::Upstream(DOWN), true));
    }
    // Eight are not.
    let got = core.ask("x", "a").await.got().await;
    assert_eq!((stands_in(&got), body(&got)), ((Reason::Upstream(DOWN), false), "1"));
    assert_spread(got.unwrap().retry_after.unwrap(), 8.0);
    // Success wipes the slate.
    pass(8.0).await;
    core.call("a").answer(live("2")).await;
    pass(3.0).await;
    let got = core.fetch("x", "a", Err(DOWN)).await;
    assert_spread(got.unwrap().retry_after.unwrap(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_known_the_remembered_error_is_the_answer() {
    let core = TestCore::with(|setup| setup.policy.patience = seconds(0.5));
    let refusal = core.fetch("x", "a", Err(DOWN)).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Upstream(DOWN));
    assert_spread(refusal.retry_after, 1.0);
    let refusal = core.ask("y", "a").await.got().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Upstream(DOWN));
    core.no_call();
}

#[tokio::test(start_paused = true)]
async fn no_room_for_a_task_is_a_stand_in_or_a_refusal() {
    let core = TestCore::with(|setup| setup.policy.max_tasks = 2);
    core.fetch("x", "known", live("1")).await.unwrap();
    pass(3.0).await;
    let asked = [core.ask("x", "a").await, core.ask("x", "b").await];
    let refusal = core.ask("y", "c").await.got().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Overloaded);
    assert_spread(refusal.retry_after, 5.0);
    let known = core.ask("y", "known").await.got().await;
    assert_eq!((stands_in(&known), body(&known)), ((Reason::Overloaded, false), "1"));
    // A request for a task that others wait for already is admitted.
    let third = core.ask("y", "a").await;
    core.call("a").answer(terminal("done")).await;
    core.call("b").answer(terminal("done")).await;
    for asked in asked.into_iter().chain([third]) {
        assert_eq!(body(&asked.got().await), "done");
    }
    core.fetch("y", "c", live("1")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_is_never_older_than_stale_for() {
    let core = short_budget();
    core.fetch("x", "a", live("1")).await.unwrap();
    core.budget.settle(
        tokio::time::Instant::now(),
        core.budget.acquire(tokio::time::Instant::now() + seconds(60.0)).unwrap().pass(),
        &core.key("b"),
        Some(limited(Some(300))),
    );
    pass(290.0).await;
    let got = core.ask("x", "a").await.got().await;
    assert_eq!(body(&got), "1", "fresh for 2 s, a stand-in for 600 s");
    core.lifecycle.stop();
    settle().await;
    pass(312.1).await;
    let refused = core.ask("x", "a").await.wait().await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn at_the_last_call_of_a_drain_who_waits_gets_what_there_is() {
    let core = TestCore::new();
    core.fetch("x", "a", live("1")).await.unwrap();
    pass(3.0).await;
    let (known, unknown) = (core.ask("x", "a").await, core.ask("x", "b").await);
    let under_way = core.calls();
    assert_eq!(under_way.len(), 2);
    core.lifecycle.stop();
    settle().await;
    assert!(known.is_waiting() && unknown.is_waiting(), "a drain lets flights land");
    core.mirror.last_call();
    settle().await;
    let known = known.got().await;
    assert_eq!((stands_in(&known), body(&known)), ((Reason::ShuttingDown, false), "1"));
    assert_eq!(unknown.got().await.unwrap_err().reason, Reason::ShuttingDown);
    // And who comes after it.
    let late = core.ask("y", "b").await.got().await.unwrap_err();
    let new = core.ask("y", "c").await.got().await.unwrap_err();
    assert_eq!((late.reason, new.reason), (Reason::ShuttingDown, Reason::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn a_terminal_stand_in_says_nothing_of_returning() {
    let core = TestCore::with(|setup| setup.policy.retention.terminal_ttl = seconds(60.0));
    core.fetch("x", "a", terminal("done")).await.unwrap();
    pass(61.0).await;
    let got = core.fetch("x", "a", Err(DOWN)).await.unwrap();
    assert_eq!((got.state.snapshot.phase, got.retry_after), (Phase::Terminal, None));
}

/// Keys are due since their snapshot went stale, which may be long before anybody asks again. Counted
/// from there, the "lag" of one forgotten task told all clients of live tasks to stay away for as long.
#[tokio::test(start_paused = true)]
async fn a_task_forgotten_for_long_does_not_send_others_away_for_long() {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 60.0;
        setup.rate.burst = 2;
    });
    core.fetch("x", "old", live("1")).await.unwrap();
    pass(500.0).await;
    let live_one = core.ask("x", "a").await;
    let old = core.ask("x", "old").await;
    let _waits_for_a_token = core.ask("x", "b").await;
    core.call("a").answer(live("1")).await;
    core.call("old").answer(live("2")).await;
    assert_spread(live_one.got().await.unwrap().retry_after.unwrap(), 2.0);
    assert_spread(old.got().await.unwrap().retry_after.unwrap(), 5.0);
}

/// The wait behind a closed gate is over when it opens, but what waited for it was taken for the
/// time that keys have to wait for their turn: after 300 s of `Retry-After` everybody who got a live
/// state was told to come back in 300 s.
#[tokio::test(start_paused = true)]
async fn a_gate_that_was_closed_for_long_does_not_send_clients_away_for_long() {
    let core = TestCore::new();
    let asked = core.ask("x", "a").await;
    core.call("a").answer(Err(limited(Some(300)))).await;
    asked.got().await.unwrap_err();
    let late: Vec<_> = ["a", "b", "c", "d"].into_iter().collect();
    for id in &late {
        core.ask("x", id).await.got().await.unwrap_err();
    }
    pass(300.0).await;
    let mut asked = Vec::new();
    for id in &late {
        asked.push(core.ask("x", id).await);
    }
    for _ in 0..20 {
        for call in core.calls() {
            call.answer(live("1")).await;
        }
        pass(0.1).await;
    }
    for asked in asked {
        let told = asked.got().await.unwrap().retry_after.unwrap();
        assert!(told <= 4, "{told}");
    }
}
