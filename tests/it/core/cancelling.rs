//! Cancelling: once, on a permit of its own, before all flights; the end of a task is everybody's.

use taskgate::core::answer::{Origin, Reason};
use taskgate::core::budget::Position;
use taskgate::core::failure::Failure;
use taskgate::core::ports::Reply;
use taskgate::core::snapshot::Phase;
use taskgate::core::watch::WatchEvent;

use super::test_core::*;
use http::StatusCode;

fn ended(body: &str) -> Result<Reply, Failure> {
    terminal(body).map(Reply::Answer)
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_cancelled_task_is_told_to_everybody() {
    let core = TestCore::new();
    let mut watch = core.mirror.watch(&core.grant("w", "a"), None).unwrap();
    settle().await;
    core.call("a").answer(live("1")).await;
    assert!(matches!(watch.next().await, WatchEvent::State(state, _) if state.snapshot.body == "1"));
    pass(0.1).await;
    let cancelling = core.cancel("c", "a").await;
    core.any_cancel().unwrap().answer(ended("cancelled")).await;
    assert!(matches!(cancelling.await.unwrap(), Ok(Reply::Answer(_))));
    assert!(matches!(watch.next().await, WatchEvent::State(state, _) if state.snapshot.body == "cancelled"));
    let got = core.ask("g", "a").await.got().await;
    assert_eq!(body(&got), "cancelled");
    assert_eq!(got.unwrap().origin, Origin::Hit);
    pass(60.0).await;
    core.no_call();
}

#[tokio::test(start_paused = true)]
async fn an_earlier_flight_answers_with_the_end_and_changes_nothing() {
    for late in [live("running"), missing(), Err(DOWN), terminal("done")] {
        let core = TestCore::new();
        let mut watch = core.mirror.watch(&core.grant("w", "a"), None).unwrap();
        let asked = core.ask("g", "a").await;
        let flight = core.call("a");
        let cancelling = core.cancel("c", "a").await;
        core.any_cancel().unwrap().answer(ended("cancelled")).await;
        cancelling.await.unwrap().unwrap();
        assert_eq!(body(&asked.got().await), "cancelled", "whoever waited has it already");
        flight.answer(late).await;
        // The watcher looks only now, when the late answer has come.
        assert!(
            matches!(watch.next().await, WatchEvent::State(state, _) if state.snapshot.body == "cancelled")
        );
        assert_eq!(body(&core.ask("g", "a").await.got().await), "cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_that_is_not_the_end_makes_the_upstream_be_asked_again() {
    let answers = || [live("cancelling").map(Reply::Answer), Ok(Reply::Silent(StatusCode::NO_CONTENT))];
    for answer in answers() {
        let core = TestCore::new();
        let _ = core.fetch("g", "a", live("running")).await;
        let cancelling = core.cancel("c", "a").await;
        core.any_cancel().unwrap().answer(answer).await;
        cancelling.await.unwrap().unwrap();
        let asked = core.ask("g", "a").await;
        core.call("a").answer(live("later")).await;
        assert_eq!(body(&asked.got().await), "later", "the state from before is not handed out");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_cancelled_stays_as_it_was() {
    let refused = |status| Ok(Reply::Answer(snapshot(status, Phase::Refused, "no")));
    for answer in [refused(400), refused(409), refused(404), Err(DOWN), Err(Failure::TimedOut)] {
        let core = TestCore::new();
        let _ = core.fetch("g", "a", live("running")).await;
        let cancelling = core.cancel("c", "a").await;
        core.any_cancel().unwrap().answer(answer).await;
        let _ = cancelling.await.unwrap();
        let got = core.ask("g", "a").await.got().await;
        assert_eq!(body(&got), "running");
        assert_eq!(got.unwrap().origin, Origin::Hit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_finished_task_that_is_deleted_is_asked_for_again() {
    let core = TestCore::new();
    let _ = core.fetch("g", "a", terminal("done")).await;
    let cancelling = core.cancel("c", "a").await;
    core.any_cancel().unwrap().answer(Ok(Reply::Silent(StatusCode::OK))).await;
    cancelling.await.unwrap().unwrap();
    let got = core.fetch("g", "a", missing()).await.unwrap();
    assert_eq!(got.state.snapshot.status, 404);
}

#[tokio::test(start_paused = true)]
async fn each_goes_once_whatever_becomes_of_it() {
    let core = TestCore::new();
    let first = core.cancel("c", "a").await;
    let second = core.cancel("c", "a").await;
    let (one, two) = (core.any_cancel().unwrap(), core.any_cancel().expect("never coalesced"));
    one.answer(Err(Failure::Unreachable)).await;
    two.panic().await;
    for cancelling in [first, second] {
        let refusal = cancelling.await.unwrap().err().unwrap();
        assert_eq!(refusal.reason, Reason::Upstream(Failure::Unreachable));
    }
    pass(60.0).await;
    assert!(core.any_cancel().is_none(), "never tried again");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_ends_after_the_timeout() {
    let core = TestCore::new();
    let cancelling = core.cancel("c", "a").await;
    let _hanging = core.any_cancel().unwrap();
    pass(9.9).await;
    assert!(!cancelling.is_finished());
    pass(0.2).await;
    assert_eq!(cancelling.await.unwrap().err().unwrap().reason, Reason::Upstream(Failure::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn it_goes_before_all_flights_and_within_the_budget() {
    let core = TestCore::with(|setup| {
        setup.rate.burst = 1;
        setup.rate.per_minute = 60.0;
    });
    for id in 0..50 {
        drop(core.mirror.watch(&core.grant("w", &format!("spent{id}")), None));
    }
    let _watches: Vec<_> =
        (0..50).map(|id| core.mirror.watch(&core.grant("w", &format!("t{id}")), None).unwrap()).collect();
    settle().await;
    core.calls();
    let spent = core.sent().len();
    let cancelling = core.cancel("c", "a").await;
    assert!(core.any_cancel().is_none(), "there is no permit yet");
    pass(1.0).await;
    assert_eq!(core.sent().len(), spent + 1, "one permit a second");
    core.any_cancel().expect("and the cancellation has it").answer(ended("cancelled")).await;
    cancelling.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn behind_a_closed_gate_it_is_not_sent_and_not_forgotten_to_be_refused() {
    let core = TestCore::new();
    let _ = core.fetch("g", "x", Err(limited(Some(30)))).await;
    let cancelling = core.cancel("c", "a").await;
    pass(5.1).await;
    let refusal = cancelling.await.unwrap().err().unwrap();
    assert!(matches!(refusal.reason, Reason::Upstream(Failure::RateLimited { .. })), "{refusal:?}");
    assert_spread(refusal.retry_after, 24.9);
    pass(120.0).await;
    assert!(core.any_cancel().is_none(), "nobody waits for it any more");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_withdraws_what_was_not_sent_and_nothing_else() {
    let core = TestCore::with(|setup| setup.max_in_flight = 1);
    let _asked = core.ask("g", "x").await;
    let flight = core.call("x");
    let waiting = core.cancel("c", "a").await;
    waiting.abort();
    settle().await;
    flight.answer(live("1")).await;
    assert!(core.any_cancel().is_none());
    let sent = core.cancel("c", "b").await;
    let call = core.any_cancel().unwrap();
    sent.abort();
    settle().await;
    call.answer(ended("cancelled")).await;
    assert_eq!(body(&core.ask("g", "b").await.got().await), "cancelled");
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_a_bound_and_nobody_fills_it_alone() {
    let core = TestCore::with(|setup| setup.max_in_flight = 1);
    let _hanging = core.cancel("c", "a").await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(core.cancel("c", "a").await);
    }
    let refused = core.cancel("c", "b").await;
    assert_eq!(refused.await.unwrap().err().unwrap().reason, Reason::Overloaded);
    for client in 0..31 {
        for _ in 0..2 {
            waiting.push(core.cancel(&format!("c{client}"), "a").await);
        }
    }
    assert!(waiting.iter().all(|cancelling| !cancelling.is_finished()));
    let refused = core.cancel("late", "a").await;
    assert_eq!(refused.await.unwrap().err().unwrap().reason, Reason::Overloaded);
}

/// Invariants 10 and 11: all cancellations together take turns as one more client would.
#[tokio::test(start_paused = true)]
async fn a_flood_of_cancellations_starves_nobody_who_reads() {
    flood(false).await;
    flood(true).await;
}

async fn flood(learn: bool) {
    const READERS: usize = 5;
    const WARMED_UP: usize = 600;
    let core = TestCore::with(|setup| {
        setup.learn = learn;
        setup.rate.burst = 1;
        setup.rate.per_minute = 60.0;
    });
    // More than can be refreshed: everybody has something due all the time, once the plans are made for it.
    let _watches: Vec<_> = (0..READERS * 4)
        .map(|number| {
            let grant = core.grant(&format!("r{}", number % READERS), &format!("t{number}"));
            core.mirror.watch(&grant, None).unwrap()
        })
        .collect();
    settle().await;
    let (mut flown, mut cancelled) = (0, 0);
    for second in 0..WARMED_UP + 300 {
        if second == WARMED_UP {
            (flown, cancelled) = (0, 0);
        }
        // As many as it may.
        for _ in 0..2 {
            drop(core.cancel("flood", "a").await);
        }
        pass(1.0).await;
        for call in core.calls() {
            flown += 1;
            call.answer(live("1")).await;
        }
        while let Some(call) = core.any_cancel() {
            cancelled += 1;
            call.answer(Ok(Reply::Answer(snapshot(409, Phase::Refused, "no")))).await;
        }
    }
    let share = f64::from(flown) / f64::from(flown + cancelled);
    let fair = READERS as f64 / (READERS + 1) as f64;
    assert!(
        (fair - 0.05..=fair + 0.05).contains(&share),
        "{flown} flights, {cancelled} cancellations, {learn}"
    );
}

#[tokio::test(start_paused = true)]
async fn cancellations_that_fail_close_no_gate_for_those_who_read() {
    let core = TestCore::new();
    for id in ["a", "b", "c", "d", "e", "f"] {
        let cancelling = core.cancel(id, id).await;
        core.any_cancel().unwrap().answer(Err(DOWN)).await;
        let _ = cancelling.await.unwrap();
    }
    assert_eq!(core.budget.gate(), Position::Open);
    let asked = core.ask("g", "x").await;
    core.call("x").answer(live("1")).await;
    assert_eq!(body(&asked.got().await), "1");
    // The account's word is for all.
    let cancelling = core.cancel("c", "a").await;
    core.any_cancel().unwrap().answer(Err(limited(Some(30)))).await;
    let _ = cancelling.await.unwrap();
    assert!(matches!(core.budget.gate(), Position::Closed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_is_tried_by_who_reads_and_by_a_cancellation_where_nobody_does() {
    let core = TestCore::new();
    let _ = core.fetch("g", "x", Err(limited(Some(3)))).await;
    let watch = core.mirror.watch(&core.grant("w", "x"), None).unwrap();
    let cancelling = core.cancel("c", "a").await;
    pass(3.1).await;
    assert!(core.any_cancel().is_none(), "the probe is a flight");
    core.call("x").answer(live("1")).await;
    pass(0.2).await;
    core.any_cancel().expect("then it goes").answer(ended("cancelled")).await;
    cancelling.await.unwrap().unwrap();
    drop(watch);

    let core = TestCore::new();
    let _ = core.fetch("g", "x", Err(limited(Some(3)))).await;
    pass(60.0).await;
    core.calls();
    let cancelling = core.cancel("c", "a").await;
    pass(0.2).await;
    core.any_cancel().expect("nobody else would ever try it").answer(ended("cancelled")).await;
    cancelling.await.unwrap().unwrap();
    assert_eq!(core.budget.gate(), Position::Open);
}
