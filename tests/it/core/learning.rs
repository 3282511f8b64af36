//! The pacing that learns, within the core: what an upstream may say of its tasks starves none of them, closes no gate,
//! and lets no state grow old where the budget is ample.

use std::collections::HashMap;

use taskgate::core::budget::{Position, Quota, Rate};
use taskgate::core::snapshot::{Hints, Snapshot};
use tokio::time::Instant;

use super::test_core::*;

fn with_hints(mut snapshot: Snapshot, hints: Hints) -> Snapshot {
    snapshot.hints = Some(Box::new(hints));
    snapshot
}

/// Whatever comes into an upstream's mind.
fn nonsense(number: usize) -> Hints {
    let ages = [0.0, 0.5, 100.0, 1e9, 1e15];
    let progress = [f32::NAN, -1.0, 0.0, 3.0, 50.0, 99.0, 99.9, 100.0, 1e30, f32::INFINITY];
    Hints {
        age: Some(seconds(ages[number % ages.len()])),
        model: Some(format!("invented {number}").into()),
        progress: Some(progress[number % progress.len()]),
    }
}

/// A plan made in a moment in which little of the quota was left had kept tasks unasked for half an hour.
#[tokio::test(start_paused = true)]
async fn a_quota_that_is_short_for_a_moment_puts_no_task_off_for_long() {
    const TASKS: usize = 20;
    let core = TestCore::with(|setup| setup.rate.burst = 40);
    core.budget.heed_quotas(Some(0.8));
    let mut watches: Vec<_> = (0..TASKS)
        .map(|task| core.mirror.watch(&core.grant("c", &format!("t{task}")), None).unwrap())
        .collect();
    settle().await;
    let permit = core.budget.acquire(Instant::now()).unwrap();
    permit.heed(&[Quota { limit: Some(1000.0), remaining: 0.0, resets_in: seconds(5.0) }]);
    drop(permit);
    // All of them are answered, and planned, while nothing is left.
    let calls = core.calls();
    assert_eq!(calls.len(), TASKS);
    for call in calls {
        call.answer(live("running")).await;
    }
    pass(5.0).await;
    let mut again = 0;
    for _ in 0..150 {
        pass(0.1).await;
        for call in core.calls() {
            again += 1;
            call.answer(live("running")).await;
        }
    }
    assert!(again >= TASKS, "{again} looks in a quarter of a minute behind the reset");
    watches.clear();
}

#[tokio::test(start_paused = true)]
async fn nonsense_starves_no_task_and_closes_no_gate() {
    const TASKS: usize = 20;
    const CLIENTS: usize = 3;
    const PER_SECOND: f64 = 2.0;
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 60.0 * PER_SECOND;
        setup.rate.burst = 1;
    });
    let start = Instant::now();
    let mut watches: Vec<_> = (0..TASKS)
        .map(|task| {
            let grant = core.grant(&format!("c{}", task % CLIENTS), &format!("t{task}"));
            core.mirror.watch(&grant, None).unwrap()
        })
        .collect();
    let mut looked: HashMap<String, Instant> = (0..TASKS).map(|task| (format!("t{task}"), start)).collect();
    // n tasks of a client, C clients, N tasks: five times n·min(C, N)/r.
    let most = 5.0 * TASKS.div_ceil(CLIENTS) as f64 * CLIENTS as f64 / PER_SECOND;
    let mut number = 0;
    while start.elapsed() < seconds(3000.0) {
        pass(0.1).await;
        for call in core.calls() {
            number += 1;
            let id = call.key.id().to_owned();
            // One task fails at once again and again, and teaches that all do.
            let is_over = id == "t0" && number > TASKS;
            let answer = if is_over { terminal("failed") } else { live("running") };
            call.answer(answer.map(|answer| with_hints(answer, nonsense(number)))).await;
            if is_over {
                core.mirror.purge(&core.key("t0")).await;
            }
            let gap = looked.insert(id, Instant::now()).unwrap().elapsed().as_secs_f64();
            assert!(gap <= most, "{gap} s between two looks, {most} s are allowed");
        }
        assert_eq!(core.budget.gate(), Position::Open);
    }
    assert!(looked.values().all(|at| at.elapsed().as_secs_f64() <= most), "{looked:?}");
    let used = core.sent().len() as f64 / (3000.0 * PER_SECOND);
    assert!((0.9..=1.01).contains(&used), "{used} of the budget");
    watches.clear();
}

#[tokio::test(start_paused = true)]
async fn with_budget_to_spare_no_plain_get_is_given_an_old_state() {
    let core = TestCore::new();
    let model = || Hints { model: Some("slow".into()), ..Hints::default() };
    // Tasks of this model run for five minutes: nothing happens before.
    for task in 0..40 {
        let mut watched = watch(&core, "x", &format!("old{task}"));
        settle().await;
        core.call(&format!("old{task}")).answer(live("1").map(|state| with_hints(state, model()))).await;
        for _ in 0..3 {
            pass(100.0).await;
            for call in core.calls() {
                call.answer(live("1").map(|state| with_hints(state, model()))).await;
            }
        }
        while core.mirror.known(&core.grant("x", &format!("old{task}"))).unwrap().snapshot.body != "2" {
            pass(1.0).await;
            for call in core.calls() {
                call.answer(terminal("2").map(|state| with_hints(state, model()))).await;
            }
        }
        let _ = next_sight(&mut watched).await;
    }
    let _watched = watch(&core, "x", "new");
    settle().await;
    for _ in 0..200 {
        for call in core.calls() {
            call.answer(live("1").map(|state| with_hints(state, model()))).await;
        }
        let asked = core.ask("y", "new").await;
        for call in core.calls() {
            call.answer(live("1").map(|state| with_hints(state, model()))).await;
        }
        let answer = asked.got().await.unwrap();
        assert!(answer.state.age(Instant::now()) <= 5, "{:?}", answer.origin);
        pass(0.7).await;
    }
}

/// The rule of fixed intervals takes no notice of what answers tell.
#[tokio::test(start_paused = true)]
async fn without_learning_the_due_times_are_those_of_the_age() {
    let core = TestCore::with(|setup| setup.learn = false);
    let _watched = watch(&core, "x", "a");
    settle().await;
    let mut sent = Vec::new();
    let start = Instant::now();
    while start.elapsed() < seconds(300.0) {
        for call in core.calls() {
            sent.push(start.elapsed().as_secs_f64());
            let number = sent.len();
            call.answer(live("1").map(|state| with_hints(state, nonsense(number)))).await;
        }
        pass(0.01).await;
    }
    let first = sent[0];
    for pair in sent.windows(2) {
        let interval = ((pair[0] - first) / 20.0).clamp(2.0, 5.0);
        assert!((pair[1] - pair[0] - interval).abs() < 0.05, "{pair:?}: {interval}");
    }
    assert!(sent.len() > 70, "{}", sent.len());
}

/// Answers every call as running, and notes whose it was.
async fn go_on(core: &TestCore, tenths: usize, looks: &mut HashMap<String, usize>) {
    for _ in 0..tenths {
        pass(0.1).await;
        for call in core.calls() {
            *looks.entry(call.key.id().to_owned()).or_default() += 1;
            call.answer(live("running")).await;
        }
    }
}

/// Plans are made for the load of their time. What is left when most tasks are gone does not wait as if they were there.
#[tokio::test(start_paused = true)]
async fn when_the_load_falls_old_plans_hold_no_task_up() {
    const TASKS: usize = 600;
    const LEFT: usize = 20;
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 60.0;
        setup.rate.burst = 4;
    });
    let mut watches: Vec<_> = (0..TASKS)
        .map(|task| core.mirror.watch(&core.grant("c", &format!("t{task}")), None).unwrap())
        .collect();
    let mut looks = HashMap::new();
    go_on(&core, 20_000, &mut looks).await;
    watches.truncate(LEFT);
    settle().await;
    looks.clear();
    go_on(&core, 10 * (LEFT + 8), &mut looks).await;
    assert_eq!(looks.len(), LEFT, "in {} s at one request a second: {looks:?}", LEFT + 8);
    let sent = looks.values().sum::<usize>();
    assert!(sent <= LEFT + 8 + 4, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn when_the_rate_rises_old_plans_hold_no_task_up() {
    const TASKS: usize = 50;
    let core = TestCore::with(|setup| {
        setup.rate.per_minute = 6.0;
        setup.rate.burst = 1;
    });
    let _watches: Vec<_> = (0..TASKS)
        .map(|task| core.mirror.watch(&core.grant("c", &format!("t{task}")), None).unwrap())
        .collect();
    let mut looks = HashMap::new();
    go_on(&core, 20_000, &mut looks).await;
    core.budget.set_rate(Rate { per_minute: 600.0, burst: 10 }, Instant::now());
    core.mirror.nudge();
    looks.clear();
    go_on(&core, 80, &mut looks).await;
    assert_eq!(looks.len(), TASKS, "in 8 s at ten requests a second: {looks:?}");
}

/// Two clients with as many tasks each that run for ever: one asks every half a second, the other only watches.
#[tokio::test(start_paused = true)]
async fn who_asks_often_gains_nothing() {
    const TASKS: usize = 10;
    for per_second in [0.5, 1.0, 2.0, 5.0] {
        let core = TestCore::with(|setup| {
            setup.rate.per_minute = 60.0 * per_second;
            setup.rate.burst = 2;
        });
        let watch = |client: &str, task: usize| {
            let grant = core.grant(client, &format!("{client}{task}"));
            core.mirror.watch(&grant, None).unwrap()
        };
        let _quiet: Vec<_> = (0..TASKS).map(|task| watch("quiet", task)).collect();
        let _busy: Vec<_> = (0..TASKS).map(|task| watch("busy", task)).collect();
        let mut looks = HashMap::new();
        let mut asked = Vec::new();
        for second in 0..500 {
            if second == 100 {
                looks.clear();
            }
            for _ in 0..2 {
                for task in 0..TASKS {
                    asked.push(core.ask("busy", &format!("busy{task}")).await);
                }
                go_on(&core, 5, &mut looks).await;
            }
            asked.retain(Asked::is_waiting);
        }
        let of = |client: &str| -> usize {
            looks.iter().filter(|(id, _)| id.starts_with(client)).map(|(_, looks)| looks).sum()
        };
        let (busy, quiet) = (of("busy"), of("quiet"));
        println!("{per_second} requests a second: {busy} looks for the busy one, {quiet} for the quiet one");
        assert!(
            busy as f64 <= 1.1 * quiet as f64,
            "{busy} looks for the busy one, {quiet} for the quiet one"
        );
    }
}
