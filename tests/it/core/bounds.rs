//! Invariant 9: whatever comes and goes, nothing is left over; and who waits is told honestly.

use taskgate::core::answer::Reason;
use taskgate::core::refresh::Census;

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
    core.mirror.purge(&core.key("d"));
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
