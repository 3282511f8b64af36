//! Invariant 9: whatever comes and goes, nothing is left over; and who waits is told honestly.

use taskgate::core::answer::Reason;
use taskgate::core::budget::Rate;
use taskgate::core::refresh::Census;
use taskgate::core::watch::WatchEvent;

use super::coalescing::assert_window;
use super::test_core::*;

/// Interest that lingered until its time was over took its key out of the schedule and left the
/// key's picture behind: one entry for each id ever asked about and given up.
#[tokio::test(start_paused = true)]
async fn clients_that_never_come_back_leave_nothing_behind() {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 6.0;
        setup.rate.burst = 1;
    });
    for id in 0..200 {
        core.ask("x", &format!("t{id}")).await.leave().await;
    }
    for call in core.calls() {
        call.answer(live("1")).await;
    }
    pass(3600.0).await;
    for call in core.calls() {
        call.answer(live("1")).await;
    }
    pass(60.0).await;
    assert_eq!(core.mirror.overview().census, Census::default());
}

#[tokio::test(start_paused = true)]
async fn departures_at_every_moment_leave_nothing_behind() {
    let core = TestCore::new();
    // Before the start, in flight, at the landing, after it.
    core.ask("x", "a").await.leave().await;
    core.call("a").answer(live("1")).await;
    let asked = core.ask("x", "b").await;
    let call = core.call("b");
    let also = core.ask("y", "b").await;
    asked.leave().await;
    call.answer(Err(DOWN)).await;
    also.got().await.unwrap_err();
    let asked = core.ask("x", "c").await;
    core.call("c").panic().await;
    asked.leave().await;
    core.mirror.purge(&core.key("d")).await;
    pass(60.0).await;
    for call in core.calls() {
        call.answer(live("1")).await;
    }
    pass(60.0).await;
    assert_eq!(core.mirror.overview().census, Census::default());
    core.no_call();
}

#[tokio::test(start_paused = true)]
async fn tasks_with_interest_are_bounded_lingering_included() {
    let core = TestCore::with(|setup| {
        setup.policy.max_tasks = 10;
        setup.rate.per_minute = 1.0;
        setup.rate.burst = 1;
    });
    for id in 0..100 {
        let asked = core.ask("x", &format!("t{id}")).await;
        if id >= 10 {
            assert_eq!(asked.got().await.unwrap_err().reason, Reason::Overloaded);
        }
    }
    for id in 0..100 {
        for client in 0..10 {
            drop(core.ask(&format!("c{client}"), &format!("t{id}")).await);
        }
        let census = core.mirror.overview().census;
        assert!(census.tasks <= 10 && census.lingering <= 40 && census.pictures <= 10, "{census:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_makes_a_wait_at_most_a_fifth_longer_and_never_shorter() {
    let core = TestCore::new();
    let mut told = std::collections::BTreeSet::new();
    let asked = core.ask("x", "a").await;
    core.call("a").answer(Err(limited(Some(100)))).await;
    asked.got().await.unwrap_err();
    for client in 0..300 {
        let got = core.ask(&format!("c{client}"), "a").await.got().await;
        told.insert(got.unwrap_err().retry_after);
    }
    let (least, most) = (*told.first().unwrap(), *told.last().unwrap());
    assert!(least >= 100, "{least}");
    // One task waits: the estimate is the gate's time and at most a turn.
    assert!(most <= 122, "{most}");
    assert!(told.len() >= 10, "clients told the same come back at once: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_of_ten_clients_are_all_refreshed_in_their_time() {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 6000.0;
        setup.rate.burst = 20;
        setup.policy.patience = seconds(60.0);
    });
    let mut asked = Vec::new();
    for id in 0..1000 {
        for client in 0..10 {
            let (mirror, grant) = (core.mirror.clone(), core.grant(&format!("c{client}"), &format!("t{id}")));
            asked
                .push(core.lifecycle.spawn(async move { mirror.look(&grant, std::future::pending()).await }));
        }
    }
    while asked.iter().any(|asked| !asked.is_finished()) {
        settle().await;
        for call in core.calls() {
            call.answer(terminal("done")).await;
        }
        pass(0.05).await;
    }
    for asked in asked {
        assert_eq!(body(&asked.await.unwrap()), "done");
    }
    assert_eq!(core.sent().len(), 1000);
    let took = *core.sent().last().unwrap() - core.sent()[0];
    assert!(took <= seconds(10.0), "the budget is used: {took:?}");
    let some: Vec<_> = core.sent().into_iter().step_by(3).collect();
    assert_window(&some, 2000.0, 20);
}

/// Two hundred streams of a hundred tasks filled `max_tasks`, and every other client was turned away.
#[tokio::test(start_paused = true)]
async fn a_client_that_holds_every_place_gives_way_to_others_and_is_told() {
    let core = TestCore::with(|setup| {
        setup.policy.max_tasks = 100;
        setup.rate = Rate { per_minute: 60_000.0, burst: 1000 };
    });
    let watch = |client: &str, id: &str| core.mirror.watch(&core.grant(client, id), None);
    let mut greedy: Vec<_> = (0..100).map(|id| watch("greedy", &format!("g{id}")).unwrap()).collect();
    assert!(watch("greedy", "one-more").is_err());
    // A plain GET, a watch, and a hundred of them: each finds a place until the holdings are equal.
    while let Some(call) = core.any_call() {
        call.answer(live("1")).await;
    }
    let got = core.ask("honest", "h").await;
    while let Some(call) = core.any_call() {
        call.answer(live("1")).await;
    }
    got.got().await.unwrap();
    pass(30.0).await;
    while let Some(call) = core.any_call() {
        call.answer(live("1")).await;
    }
    let honest: Vec<_> = (0..100).map_while(|id| watch("honest", &format!("h{id}")).ok()).collect();
    assert!((49..=50).contains(&honest.len()), "{}", honest.len());
    assert!(watch("honest", "more").is_err() && watch("greedy", "more").is_err(), "none evicts an equal");
    assert!(watch("third", "t").is_ok());
    let mut told = 0;
    for watch in &mut greedy {
        settle().await;
        let event = tokio::time::timeout(seconds(0.0), async {
            loop {
                if let event @ WatchEvent::Evicted(_) = watch.next().await {
                    return event;
                }
            }
        });
        if let Ok(WatchEvent::Evicted(refusal)) = event.await {
            assert_eq!(refusal.reason, Reason::Overloaded);
            told += 1;
        }
    }
    assert!((50..=51).contains(&told), "each one that lost its place is told: {told}");
    let census = core.mirror.overview().census;
    assert!(census.tasks <= 100 && census.pictures <= 100, "{census:?}");
    drop((greedy, honest));
    pass(60.0).await;
    while let Some(call) = core.any_call() {
        call.answer(live("1")).await;
    }
    pass(60.0).await;
    assert_eq!(core.mirror.overview().census, Census::default());
}

/// 260 plain lists left 19,900 lingering places behind.
#[tokio::test(start_paused = true)]
async fn lingering_places_give_way_to_a_client_that_comes() {
    let core = TestCore::with(|setup| {
        setup.policy.max_tasks = 50;
        setup.rate.per_minute = 1.0;
        setup.rate.burst = 1;
    });
    for id in 0..60 {
        core.ask("greedy", &format!("g{id}")).await.leave().await;
    }
    assert_eq!(core.mirror.overview().census.tasks, 50);
    let asked = core.ask("honest", "h").await;
    assert_ne!(asked.got().await.unwrap_err().reason, Reason::Overloaded, "it has a place in the line");
    assert_eq!(core.mirror.overview().census.tasks, 50);
}

/// Pictures held every state that was watched, beside the store and unweighed.
#[tokio::test(start_paused = true)]
async fn states_of_watched_tasks_are_held_by_the_store_alone() {
    let core = TestCore::with(|setup| {
        setup.max_bytes = 4 << 20;
        setup.rate = Rate { per_minute: 60_000.0, burst: 1000 };
    });
    let large = "x".repeat(1 << 20);
    let mut watches = Vec::new();
    for id in 0..20 {
        let mut watch = core.mirror.watch(&core.grant("x", &format!("t{id}")), None).unwrap();
        settle().await;
        core.call(&format!("t{id}")).answer(live(&large)).await;
        let WatchEvent::State(state, _) = watch.next().await else { panic!("no state") };
        watches.push((watch, std::sync::Arc::downgrade(&state)));
    }
    let overview = core.mirror.overview();
    assert!(overview.memory[0].bytes <= 4 << 20);
    let alive = watches.iter().filter(|(_, state)| state.strong_count() > 0).count();
    assert!(alive <= 4, "{alive} megabytes are held");
    // A watch whose state left the store before it looked asks again, and misses nothing.
    let mut late = core.mirror.watch(&core.grant("y", "late"), None).unwrap();
    settle().await;
    core.call("late").answer(live("1")).await;
    assert!(matches!(late.next().await, WatchEvent::State(..)));
    pass(2.1).await;
    for call in core.calls() {
        if call.key.id() == "late" {
            call.answer(terminal("end")).await;
        } else {
            call.answer(live(&large)).await;
        }
    }
    core.mirror.purge(&core.key("late")).await;
    settle().await;
    for call in core.calls() {
        call.answer(terminal("end")).await;
    }
    let WatchEvent::State(state, _) = late.next().await else { panic!("the end is missed") };
    assert_eq!(state.snapshot.body, "end");
}

/// A key stays in the schedule as long as one slow stream wants it, due when its terminal state expires.
#[tokio::test(start_paused = true)]
async fn a_terminal_state_that_the_store_has_lost_is_asked_for_again() {
    let core = TestCore::with(|setup| setup.max_bytes = 1 << 20);
    let _slow = core.mirror.watch(&core.grant("slow", "t"), None).unwrap();
    settle().await;
    // It is heavier than the store may be.
    core.call("t").answer(terminal(&"x".repeat(2 << 20))).await;
    let asked = core.ask("next", "t").await;
    settle().await;
    core.call("t").answer(terminal("end")).await;
    assert_eq!(asked.got().await.unwrap().state.snapshot.body, "end");
}
