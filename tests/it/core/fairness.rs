//! Invariants 10 and 11 across the core: turns, places kept, and nobody starves.

use std::collections::HashMap;

use taskgate::core::budget::Position;
use tokio::time::Instant;

use super::test_core::*;

/// A budget of one request a second, spent.
async fn one_a_second() -> TestCore {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 60.0;
        setup.rate.burst = 1;
        setup.policy.patience = seconds(100.0);
    });
    core.fetch("nobody", "first", terminal("done")).await.unwrap();
    core
}

/// The next calls, in their order, each answered as finished.
async fn order(core: &TestCore, calls: usize) -> Vec<String> {
    let mut order = Vec::new();
    while order.len() < calls {
        pass(0.1).await;
        for call in core.calls() {
            order.push(call.key.id().to_owned());
            call.answer(terminal("done")).await;
        }
    }
    order
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_hundred_tasks_takes_turns_with_one_that_has_two() {
    let core = one_a_second().await;
    for id in 0..100 {
        drop(core.ask("many", &format!("m{id:02}")).await);
    }
    pass(0.1).await;
    for id in 0..2 {
        drop(core.ask("few", &format!("f{id}")).await);
    }
    let order = order(&core, 5).await;
    assert_eq!(order, ["m00", "f0", "m01", "f1", "m02"]);
}

#[tokio::test(start_paused = true)]
async fn asking_often_gains_no_place() {
    let core = one_a_second().await;
    drop(core.ask("x", "patient").await);
    pass(0.01).await;
    for _ in 0..50 {
        core.ask("x", "pushy").await.leave().await;
        drop(core.ask("x", "pushy").await);
    }
    assert_eq!(order(&core, 2).await, ["patient", "pushy"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_keeps_its_place_while_its_interest_lingers() {
    let core = one_a_second().await;
    core.ask("x", "b").await.leave().await;
    pass(0.01).await;
    drop(core.ask("x", "a").await);
    assert_eq!(order(&core, 2).await, ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_task_is_refreshed_in_whosever_turn_comes_first() {
    let core = one_a_second().await;
    for id in 0..20 {
        drop(core.ask("many", &format!("m{id:02}")).await);
    }
    pass(0.01).await;
    let shared = core.ask("many", "shared").await;
    let also = core.ask("few", "shared").await;
    assert_eq!(order(&core, 2).await, ["m00", "shared"]);
    assert_eq!((body(&shared.got().await), body(&also.got().await)), ("done", "done"));
}

/// P3 in small: far more demand than budget for ten minutes. The budget is used, no state is older
/// than fairness allows, and the clients that obey `Retry-After` get as much as those that do not.
#[tokio::test(start_paused = true)]
async fn a_storm_uses_the_budget_and_starves_nobody() {
    let Storm { used, gaps, ideal } = storm(false).await;
    assert!(used >= 0.95, "{used} of the budget");
    let longest = gaps[gaps.len() - 1];
    // A state's age grows from 0 to the gap between two refreshes. Turns are equal for clients and not
    // for tasks, so it is not quite the ideal.
    let older: f64 = gaps.iter().map(|gap| (gap - 1.3 * ideal).max(0.0)).sum();
    let share = older / gaps.iter().sum::<f64>();
    assert!(share <= 0.01, "{share} of the time a state is older than 1.3 × {ideal} s");
    assert!(longest <= 1.2 * ideal * 3.0, "{longest} s: n·min(C, N) turns");
}

/// The same, while the pacing learns that no task ends: some are looked at seldom, and none starves.
#[tokio::test(start_paused = true)]
async fn a_storm_uses_the_budget_and_starves_nobody_while_the_pacing_learns() {
    let Storm { used, gaps, ideal } = storm(true).await;
    assert!(used >= 0.95, "{used} of the budget");
    assert!(gaps[gaps.len() - 1] <= 5.0 * ideal, "{:?} s, where {ideal} s would be even", gaps.last());
}

/// The outcome of a storm.
struct Storm {
    /// The part of the budget.
    used: f64,
    /// The seconds between two refreshes of a task, the longest last.
    gaps: Vec<f64>,
    ideal: f64,
}

async fn storm(learn: bool) -> Storm {
    const TASKS: usize = 60;
    const PER_MINUTE: f64 = 240.0;
    // The jitter is the same in every run.
    fastrand::seed(7);
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = PER_MINUTE;
        setup.rate.burst = 5;
        setup.learn = learn;
    });
    // When each client of each task returns; every third does not obey.
    let mut returns: HashMap<(usize, usize), Instant> = HashMap::new();
    let mut refreshed: HashMap<String, Instant> = HashMap::new();
    let mut waiting = Vec::new();
    let begun = Instant::now();
    let mut gaps = Vec::new();
    while begun.elapsed() < seconds(600.0) {
        let now = Instant::now();
        for task in 0..TASKS {
            for client in 0..3 {
                if returns.get(&(task, client)).is_none_or(|at| *at <= now) {
                    let (mirror, grant) =
                        (core.mirror.clone(), core.grant(&format!("c{client}"), &format!("t{task}")));
                    let look = core
                        .lifecycle
                        .spawn(async move { mirror.look(&grant, std::future::pending()).await });
                    returns.insert((task, client), now + seconds(3600.0));
                    waiting.push(((task, client), look));
                }
            }
        }
        pass(0.05).await;
        for call in core.calls() {
            if let Some(before) = refreshed.insert(call.key.id().to_owned(), Instant::now()) {
                gaps.push(before.elapsed().as_secs_f64());
            }
            call.answer(live("running")).await;
        }
        let (done, still): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, look)| look.is_finished());
        waiting = still;
        for (who, look) in done {
            let told = match look.await.unwrap() {
                Ok(answer) => answer.retry_after.unwrap(),
                Err(refusal) => refusal.retry_after,
            };
            let obeys = who.1 != 0;
            returns.insert(who, Instant::now() + seconds(if obeys { told as f64 } else { 0.5 }));
        }
    }
    let used = core.sent().len() as f64 / (5.0 + 600.0 * PER_MINUTE / 60.0);
    gaps.sort_by(f64::total_cmp);
    assert_eq!(refreshed.len(), TASKS);
    Storm { used, gaps, ideal: TASKS as f64 * 60.0 / PER_MINUTE }
}

/// One client asked for ids that the upstream leaves without an answer: it held every place in flight until their time-out,
/// and the breaker took that for an outage.
#[tokio::test(start_paused = true)]
async fn ids_that_hang_take_no_other_clients_place() {
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 6000.0;
        setup.rate.burst = 100;
    });
    let _greedy: Vec<_> = (0..100)
        .map(|id| core.mirror.watch(&core.grant("greedy", &format!("hang{id}")), None).unwrap())
        .collect();
    settle().await;
    let hanging = core.calls();
    assert_eq!(hanging.len(), 33, "half of the places");
    for id in 0..50 {
        let got = core.fetch("honest", &format!("t{id}"), live("1")).await;
        assert_eq!(body(&got), "1");
        pass(0.1).await;
    }
    // All time-outs come at once. The upstream has answered others meanwhile.
    pass(5.1).await;
    assert_eq!(core.budget.gate(), Position::Open);
    let again = core.calls();
    assert!(!again.is_empty(), "the places are taken again");
    assert_eq!(body(&core.fetch("honest", "late", live("2")).await), "2");
    drop((hanging, again));
}
