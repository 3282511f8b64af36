//! Invariants 2 and 8 across the core: the account's trouble closes the gate for all, a task's its own.

use std::collections::HashSet;

use taskgate::core::answer::Reason;
use taskgate::core::budget::Position;
use taskgate::core::failure::Failure;
use tokio::time::Instant;

use super::coalescing::assert_window;
use super::test_core::*;

#[tokio::test(start_paused = true)]
async fn a_429_closes_for_everything_and_is_no_tasks_failure() {
    let core = TestCore::new();
    let asked = [core.ask("x", "a").await, core.ask("y", "b").await];
    core.call("a").answer(Err(limited(Some(7)))).await;
    core.call("b").answer(live("1")).await;
    let [a, b] = asked;
    assert_eq!(body(&b.got().await), "1", "what was in flight already counts");
    let refusal = a.got().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Upstream(limited(Some(7))));
    assert_spread(refusal.retry_after, 7.0);
    let closed = Instant::now();
    for _ in 0..6 {
        pass(1.0).await;
        core.ask("z", "c").await.leave().await;
        core.no_call();
    }
    pass(0.99).await;
    core.no_call();
    pass(0.02).await;
    // One probe, though two tasks wait; the one that was turned away kept its place.
    let probe = core.call("a");
    assert!(closed.elapsed() >= seconds(7.0));
    pass(2.0).await;
    core.no_call();
    probe.answer(live("1")).await;
    // No setback: had the 429 been the task's failure, it would now wait.
    let hit = core.ask("x", "a").await.got().await.unwrap();
    assert_spread(hit.retry_after.unwrap(), 2.0);
    pass(1.0).await;
    assert_window(&core.sent()[2..], 560.0, 1);
}

#[tokio::test(start_paused = true)]
async fn every_failed_probe_of_a_closed_gate_holds_its_deadline() {
    let core = TestCore::new();
    let mut deadline = Instant::now();
    let mut waiting = core.ask("x", "a").await;
    for hold in [3_u64, 11, 300, 1] {
        let call = core.call("a");
        assert!(Instant::now() >= deadline);
        assert!(Instant::now() <= deadline + seconds(0.2), "and it does not oversleep");
        call.answer(Err(limited(Some(hold)))).await;
        waiting.got().await.unwrap_err();
        deadline = Instant::now() + seconds(hold as f64);
        waiting = core.ask("x", "a").await;
        pass(hold as f64 - 0.01).await;
        core.no_call();
        pass(0.15).await;
        if waiting.is_waiting() {
            continue;
        }
        waiting = core.ask("x", "a").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_tried_every_thirty_seconds_while_known_states_are_served() {
    for failure in [Failure::KeyRejected, Failure::QuotaExhausted] {
        let core = TestCore::new();
        for id in ["a", "b"] {
            core.fetch("x", id, live("1")).await.unwrap();
        }
        pass(3.0).await;
        let got = core.fetch("x", "a", Err(failure)).await;
        assert_eq!((stands_in(&got), body(&got)), ((Reason::Upstream(failure), true), "1"));
        // The first probe is another task's, if there is one. Then it is the key's matter.
        pass(0.5).await;
        let other = core.ask("x", "b").await;
        pass(0.6).await;
        core.call("b").answer(Err(failure)).await;
        assert_eq!(stands_in(&other.got().await), (Reason::Upstream(failure), true));
        for _ in 0..60 {
            let got = core.ask("x", "a").await.got().await;
            assert_eq!(stands_in(&got), (Reason::Upstream(failure), false));
            pass(0.4).await;
        }
        assert_eq!(core.sent().len(), 4);
        pass(6.1).await;
        core.call("a").answer(terminal("done")).await;
        assert_eq!(core.budget.gate(), Position::Open);
        assert_eq!(body(&core.ask("x", "a").await.got().await), "done");
    }
}

#[tokio::test(start_paused = true)]
async fn one_task_that_always_fails_disturbs_no_other() {
    let core = TestCore::new();
    let mut healthy = 0;
    let mut sick = 0;
    for _ in 0..600 {
        drop(core.ask("x", "sick").await);
        drop(core.ask("x", "well").await);
        for call in core.calls() {
            let is_sick = call.key.id() == "sick";
            sick += usize::from(is_sick);
            healthy += usize::from(!is_sick);
            call.answer(if is_sick { Err(DOWN) } else { live("1") }).await;
        }
        pass(0.2).await;
    }
    assert_eq!(core.budget.gate(), Position::Open);
    // 1, 2, 4, 8, 16, 30, 30, 30 … seconds in two minutes.
    assert!((7..=9).contains(&sick), "{sick}");
    // Every 2 s while it is young, every 5 s at the end.
    assert!((24..=60).contains(&healthy), "{healthy}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_probe_a_second_and_ends_without_a_spike() {
    let core = TestCore::new();
    let ids: Vec<String> = (0..40).map(|id| format!("t{id}")).collect();
    for id in &ids {
        drop(core.ask("x", id).await);
    }
    // Everything is known before it begins.
    let mut known = HashSet::new();
    while known.len() < ids.len() {
        pass(0.1).await;
        for call in core.calls() {
            known.insert(call.key.id().to_owned());
            call.answer(live("before")).await;
        }
    }
    pass(6.0).await;
    let outage = Instant::now();
    let before = core.sent().len();
    while outage.elapsed() < seconds(60.0) {
        for id in &ids {
            let asked = core.ask("x", id).await;
            for call in core.calls() {
                call.answer(Err(DOWN)).await;
            }
            if !asked.is_waiting() {
                assert_eq!(body(&asked.got().await), "before", "known tasks are answered throughout");
            }
        }
        pass(0.5).await;
    }
    assert_ne!(core.budget.gate(), Position::Open);
    let during = core.sent().len() - before;
    assert!((45..=75).contains(&during), "five failures and then a probe a second: {during}");
    // It is back: the next probe opens, and what failed goes at once, within the budget.
    let back = Instant::now();
    let mut refreshed = HashSet::new();
    while refreshed.len() < ids.len() {
        for id in &ids {
            drop(core.ask("x", id).await);
        }
        for call in core.calls() {
            refreshed.insert(call.key.id().to_owned());
            call.answer(live("after")).await;
        }
        pass(0.1).await;
        assert!(back.elapsed() < seconds(10.0), "{} of {} are back", refreshed.len(), ids.len());
    }
    assert_window(&core.sent(), 800.0, 20);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_failed_with_the_upstream_go_at_once_when_it_is_back() {
    let core = TestCore::new();
    // `a` fails until its pause is long.
    for pause in [1.0, 2.0, 4.0, 8.0, 16.0] {
        drop(core.ask("x", "a").await);
        core.call("a").answer(Err(DOWN)).await;
        if pause < 16.0 {
            pass(pause + 0.1).await;
        }
        if let Some(call) = core.any_call() {
            call.answer(Err(DOWN)).await;
            break;
        }
    }
    // Then others do, and the breaker opens.
    for id in ["b", "c", "d", "e"] {
        drop(core.ask("x", id).await);
        for call in core.calls() {
            call.answer(Err(DOWN)).await;
        }
    }
    assert!(matches!(core.budget.gate(), Position::Closed { .. }));
    let asked = core.ask("x", "a").await;
    pass(1.1).await;
    let probe = core.any_call().expect("a probe after a second");
    let probed = probe.key.id().to_owned();
    probe.answer(terminal("done")).await;
    pass(2.0).await;
    let mut ids: Vec<_> = core.calls().into_iter().map(|call| call.key.id().to_owned()).collect();
    ids.push(probed);
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
    drop(asked);
}

/// The probe was answered, so the outage was over and all its failures forgiven, this one with them.
#[tokio::test(start_paused = true)]
async fn a_probe_that_ends_an_outage_keeps_its_own_failure() {
    let core = TestCore::new();
    let mut asked = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        asked.push(core.ask("x", id).await);
    }
    for call in core.calls() {
        call.answer(Err(DOWN)).await;
    }
    assert!(matches!(core.budget.gate(), Position::Closed { .. }));
    pass(1.01).await;
    let probe = core.any_call().expect("a probe after a second");
    let id = probe.key.id().to_owned();
    probe.answer(Err(Failure::InvalidResponse { status: 200 })).await;
    assert_eq!(core.budget.gate(), Position::Open);
    let again = core.ask("x", &id).await;
    for _ in 0..9 {
        pass(0.1).await;
        for call in core.calls() {
            assert_ne!(call.key.id(), id, "it failed less than a second ago");
            call.answer(terminal("done")).await;
        }
    }
    pass(0.2).await;
    core.call(&id).answer(terminal("done")).await;
    assert_eq!(body(&again.got().await), "done");
}

/// A setback is an entry in a bounded memory. It admitted by frequency of use, and so turned newcomers
/// away where it was full of tasks that are often asked about: their failures were forgotten at once.
#[tokio::test(start_paused = true)]
async fn the_last_failure_is_remembered_however_many_there_were() {
    let refused = Failure::InvalidResponse { status: 302 };
    let core = TestCore::with(|setup| {
        setup.policy.max_tasks = 8;
        setup.policy.patience = seconds(0.5);
        setup.rate.burst = 5000;
    });
    for _ in 0..200 {
        for id in 0..8 {
            drop(core.ask("x", &format!("hot{id}")).await);
        }
        for call in core.calls() {
            call.answer(Err(refused)).await;
        }
        pass(0.6).await;
    }
    for _ in 0..600 {
        pass(0.1).await;
        for call in core.calls() {
            call.answer(Err(refused)).await;
        }
    }
    assert_eq!(core.mirror.overview().census, Default::default());
    for round in 0..300 {
        let id = format!("new{round}");
        core.fetch("x", &id, Err(refused)).await.unwrap_err();
        let again = core.ask("x", &id).await;
        assert!(!again.is_waiting(), "{id} is forgotten");
        assert_eq!(again.got().await.unwrap_err().reason, Reason::Upstream(refused));
        // Interest that lingers is refreshed once more and ends.
        pass(5.0).await;
        for call in core.calls() {
            call.answer(terminal("done")).await;
        }
    }
}
