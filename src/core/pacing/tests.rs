//! Tests of the pacing: what it learns, and what no history can make it do.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use proptest::prelude::*;

use tokio::time::{Duration, Instant};

use super::hazard::{Hazard, Table};
use super::model_id::ModelId;
use super::price::LONGEST;
use super::*;
use crate::core::budget::Flow;
use crate::core::grant::Client;
use crate::core::snapshot::{Hints, Phase, Snapshot};

const PACING: Pacing = Pacing { fresh_for: Duration::from_secs(2), max_interval: Duration::from_secs(5) };

fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A table of tasks that all end at `at`, give or take a tenth of a second.
fn ends_at(at: f64, ends: usize) -> Table {
    let mut table = Table::default();
    for _ in 0..ends {
        table.survived(0.0, at - 0.1);
        let spread = Hazard { model: Some(&table), route: None }.spread(at - 0.1, at + 0.1);
        table.ended(&spread, 1.0 / MEMORY);
    }
    table
}

fn of(table: &Table) -> Hazard<'_> {
    Hazard { model: Some(table), route: None }
}

/// A pacer, and the tasks that one client watches.
struct Watched {
    pacer: Pacer,
    start: Instant,
    load: Load,
    client: Client,
}

impl Watched {
    fn new(tasks: usize, per_second: f64) -> Self {
        let start = Instant::now();
        let flow = Flow { per_second, used: per_second };
        let load = Load { tasks, clients: 1, all_tasks: tasks, flow };
        let pacer = Pacer::learning(PACING, MEMORY, 100);
        Self { pacer, start, load, client: Client::Named("x".into()) }
    }

    fn look(
        &mut self,
        at: f64,
        first: f64,
        phase: Phase,
        before: Option<&Track>,
        hints: Hints,
    ) -> Option<Plan> {
        let json = HeaderValue::from_static("application/json");
        let fetched = self.start + span(at);
        let mut snapshot = Snapshot::new(StatusCode::OK, json, Bytes::new(), fetched, phase);
        snapshot.hints = Some(Box::new(hints));
        let before = before.map_or(Before::Nothing, |track| Before::Running { track, word: None });
        let look = Look { route: 0, first_seen: self.start + span(first), before, snapshot: &snapshot };
        let load = self.load;
        self.pacer.looked(look, std::iter::once(&self.client), |_| load)
    }

    /// Watches one task from `from` on until it ends after `lasts`. Returns the number of looks and the delay.
    fn watch(&mut self, from: f64, lasts: f64, hints: impl Fn(f64) -> Hints) -> (usize, f64) {
        let mut plan = self.look(from, from, Phase::Live, None, hints(0.0)).unwrap();
        let (mut at, mut looks) = (from, 1);
        loop {
            at += plan.wait.as_secs_f64();
            looks += 1;
            let track = plan.track.take().unwrap();
            let phase = if at >= from + lasts { Phase::Terminal } else { Phase::Live };
            match self.look(at, from, phase, Some(&track), hints(at - from)) {
                Some(next) => plan = next,
                None => return (looks, at - from - lasts),
            }
        }
    }
}

fn model(name: &str) -> Hints {
    Hints { model: Some(name.into()), ..Hints::default() }
}

#[test]
fn a_look_comes_where_the_end_is_likely() {
    let table = ends_at(60.0, 100);
    let early = of(&table).wait(5.0, 2.0, 1000.0);
    assert!((48.0..60.0).contains(&early), "one look just after the end: {early}");
    let late = of(&table).wait(57.0, 0.5, 1000.0);
    assert!(late < 6.0, "{late}");
    let prior = Hazard::default();
    assert!((1.0..3.0).contains(&prior.wait(0.0, 0.05, 100.0)), "of unknown tasks nothing is supposed");
}

#[test]
fn models_are_learnt_apart_and_a_new_one_leans_on_its_route() {
    let mut watched = Watched::new(100, 10.0);
    for task in 0..60 {
        let from = f64::from(task) * 500.0;
        watched.watch(from, 30.0, |_| model("quick"));
        watched.watch(from + 1.0, 300.0, |_| model("slow"));
    }
    let first = |watched: &mut Watched, hints| {
        let plan = watched.look(90_000.0, 90_000.0, Phase::Live, None, hints).unwrap();
        plan.wait.as_secs_f64()
    };
    let (quick, slow) = (first(&mut watched, model("quick")), first(&mut watched, model("slow")));
    assert!(quick <= 31.0 && slow > 1.1 * quick, "{quick} {slow}");
    let unknown = first(&mut watched, model("new"));
    let route = first(&mut watched, Hints::default());
    assert!((unknown - route).abs() < 0.25 * route, "{unknown} {route}, and the price moves a little");
    let curves = watched.pacer.curves(6);
    assert_eq!(curves.iter().filter(|curve| !curve.model.is_empty()).count(), 2, "{curves:?}");
    let slow = curves.iter().find(|curve| &*curve.model == "slow").unwrap();
    assert!((250.0..450.0).contains(&slow.span), "{}", slow.span);
}

#[test]
fn progress_is_trusted_only_where_it_foretells() {
    let run = |progress: fn(f64, f64) -> f32| {
        fastrand::seed(3);
        let mut watched = Watched::new(100, 10.0);
        let mut delays = Vec::new();
        for task in 0..400 {
            let lasts = 20.0 + 180.0 * fastrand::f64();
            let told = |at: f64| Hints { progress: Some(progress(at, lasts)), ..Hints::default() };
            let (_, delay) = watched.watch(f64::from(task) * 500.0, lasts, told);
            if task >= 200 {
                delays.push(delay);
            }
        }
        let planned = watched.pacer.figures()[0].planned;
        (delays.iter().sum::<f64>() / delays.len() as f64, planned)
    };
    #[expect(clippy::cast_possible_truncation, reason = "percent")]
    let (linear, by) = run(|at, lasts| (100.0 * at / lasts).min(100.0) as f32);
    assert!(by[2] > by[0], "progress plans: {by:?}");
    #[expect(clippy::cast_possible_truncation, reason = "percent")]
    let (random, by) = run(|_, _| (fastrand::f64() * 100.0) as f32);
    assert!(by[2] < by[0] / 4, "random progress does not: {by:?}");
    let (constant, _) = run(|_, _| 50.0);
    assert!(linear < 0.4 * constant, "{linear} {constant}");
    assert!(random < 1.3 * constant, "{random} {constant}");
}

#[test]
fn what_was_learnt_is_forgotten() {
    let mut table = ends_at(300.0, 1000);
    for _ in 0..300 {
        let spread = of(&table).spread(25.0, 35.0);
        table.survived(0.0, 25.0);
        table.ended(&spread, 1.0 / MEMORY);
    }
    let half = of(&table).remaining(0.0, 0.5).unwrap();
    assert!((20.0..60.0).contains(&half), "{half}");
}

#[test]
fn an_estimate_is_absent_rather_than_made_up() {
    let mut watched = Watched::new(10, 10.0);
    let mut told = Vec::new();
    for task in 0..60 {
        let from = f64::from(task) * 100.0;
        let plan = watched.look(from, from, Phase::Live, None, model("m")).unwrap();
        told.push(plan.track.unwrap().estimate);
        watched.watch(from, 60.0 + f64::from(task % 5), |_| model("m"));
    }
    assert!(told[..30].iter().all(Option::is_none), "too few ends are known");
    let estimate = told[59].expect("enough are known, and they agree");
    assert!((50.0..75.0).contains(&estimate.remaining), "{estimate:?}");
    assert!(estimate.low <= estimate.remaining && estimate.remaining <= estimate.high);
    let later = estimate.told(estimate.at + span(20.0)).unwrap();
    assert!((later.remaining as f64 - (estimate.remaining - 20.0)).abs() <= 0.5, "{later:?}");
    assert!(estimate.told(estimate.at + span(estimate.high - 0.1)).is_some());
    assert_eq!(
        estimate.told(estimate.at + span(estimate.high)),
        None,
        "it has lasted longer than was foreseen"
    );
    // Durations all over the place.
    fastrand::seed(5);
    let mut watched = Watched::new(10, 10.0);
    for task in 0..200 {
        watched.watch(f64::from(task) * 2000.0, 1000.0 * fastrand::f64().powi(3), |_| model("m"));
    }
    let plan = watched.look(1e6, 1e6, Phase::Live, None, model("m")).unwrap();
    assert_eq!(plan.track.unwrap().estimate, None);
}

/// Whatever the clocks show, what was told within a minute is taken back by no more than a fifth of what is left of it.
#[test]
fn the_told_time_goes_hardly_back_within_a_minute() {
    let table = ends_at(100.0, 60);
    fastrand::seed(7);
    let (mut told_at_all, mut went_back) = (0, 0);
    for _ in 0..200 {
        let (mut last, mut passed, mut told) = (None, 0.0, Vec::<(f64, f64)>::new());
        let now = Instant::now();
        for _ in 0..100 {
            passed += 10.0 * fastrand::f64();
            let age = 100.0 * fastrand::f64();
            let Some(Estimate { remaining, low, high, .. }) =
                Estimate::of(of(&table), 60, (age, 1.0), &mut last, now + span(passed))
            else {
                continue;
            };
            told_at_all += 1;
            assert!(low <= remaining && remaining <= high);
            let honest = of(&table).remaining(age, 0.5).unwrap();
            went_back += usize::from(remaining < honest);
            for (at, before) in told.iter().rev().take_while(|(at, _)| passed - at < 30.0) {
                let left = before - (passed - at);
                assert!(
                    remaining <= (left * 1.2).max(1.0) + 1e-6,
                    "{before} s, and {} s later {remaining}",
                    passed - at
                );
            }
            told.push((passed, remaining));
        }
    }
    assert!(told_at_all > 2000 && went_back > 20, "{told_at_all} {went_back}");
    // Nothing binds for ever.
    let (mut last, now) = (None, Instant::now());
    let mut at = |age, passed| Estimate::of(of(&table), 60, (age, 1.0), &mut last, now + span(passed));
    assert!(at(60.0, 0.0).is_some_and(|told| (37.0..43.0).contains(&told.remaining)));
    assert_eq!(at(5.0, 59.0), None, "nothing that could be told is true");
    assert!(at(5.0, 61.0).is_some_and(|told| told.remaining > 80.0));
}

/// A thousand models, all clocks in use: what a list of invented names can make it remember.
#[test]
fn a_hundred_thousand_invented_models_take_a_bounded_memory() {
    let mut watched = Watched::new(100, 10.0);
    for _ in 0..5 {
        watched.watch(0.0, 40.0, |_| model("real"));
    }
    for number in 0..100_000_u32 {
        let hints = Hints { progress: Some(50.0), ..model(&format!("{number}{:0>200}", "")) };
        let at = f64::from(number) * 0.1;
        let plan = watched.look(at, at, Phase::Live, None, hints.clone()).unwrap();
        if number % 10 == 0 {
            watched.look(at + 3.0, at, Phase::Live, plan.track.as_deref(), hints);
        }
    }
    let learning = watched.pacer.learnt();
    assert_eq!(learning.models.iter().count(), MOST_MODELS);
    assert!(learning.models.iter().any(|model| &*model.name == "real"), "what has taught stays");
    assert!(learning.models.iter().all(|model| model.name.len() <= MOST_NAME));
    // By size: every table that a model can have, its name, and twice its slot, as maps have room to spare.
    let slot = size_of::<(ModelId, Box<models::Model>)>() * 2;
    let most = size_of::<models::Model>() + MOST_NAME + slot + 4 * size_of::<Table>();
    assert!(most * MOST_MODELS <= 2_500_000, "{} bytes", most * MOST_MODELS);
    let tables = learning.models.iter().map(|model| model.learnt.tables().count()).max();
    assert!(tables <= Some(4), "{tables:?}");
}

#[test]
fn a_million_instant_failures_starve_nobody() {
    let mut watched = Watched::new(100, 10.0);
    for number in 0..1_000_000_u32 {
        let at = f64::from(number) * 1e-3;
        let hints = Hints { age: Some(span(0.1)), ..model("m") };
        watched.look(at, at, Phase::Terminal, None, hints);
    }
    for lasts in [1.0, 100.0, 5000.0] {
        let hints = |_| Hints { age: Some(Duration::ZERO), ..model("m") };
        let (looks, delay) = watched.watch(2000.0, lasts, hints);
        assert!(delay <= 40.0, "at most four mean intervals: {delay}");
        assert!(looks as f64 <= 2.0 + lasts / 2.0, "never more often than fresh_for: {looks}");
    }
    let sums = watched.pacer.figures()[0];
    assert!(sums.found == 1_000_003 && sums.delay.is_finite() && sums.expected.is_finite());
}

/// The creation is told only later on: the model's table is begun anew, and the route's one helps until then.
#[test]
fn a_model_follows_an_upstream_that_changes_its_answers() {
    let mut watched = Watched::new(100, 10.0);
    let told = |at: f64| Hints { age: Some(span(at)), ..model("m") };
    for task in 0..50 {
        watched.watch(f64::from(task) * 200.0, 60.0, |_| model("m"));
    }
    for task in 50..200 {
        watched.watch(f64::from(task) * 200.0, 60.0, told);
    }
    let plan = watched.look(90_000.0, 90_000.0, Phase::Live, None, told(0.0)).unwrap();
    let estimate = plan.track.unwrap().estimate.expect("its table has enough ends");
    assert!((50.0..75.0).contains(&estimate.remaining), "{estimate:?}");
    let tables = watched.pacer.learnt().models.iter().map(|model| model.learnt.tables().count());
    assert_eq!(tables.collect::<Vec<_>>(), [1]);
}

/// Thirty ends of tasks that tell their creation say nothing of those that do not.
#[test]
fn only_ends_of_the_same_kind_make_an_estimate() {
    let mut watched = Watched::new(100, 10.0);
    for task in 0..50 {
        watched.watch(f64::from(task) * 200.0, 60.0, |at| Hints { age: Some(span(at)), ..model("m") });
    }
    let plan = watched.look(90_000.0, 90_000.0, Phase::Live, None, model("m")).unwrap();
    assert_eq!(plan.track.unwrap().estimate, None);
}

/// A creation from before the last bin says that a clock is wrong, or that the task is of another kind than those that
/// people wait for.
#[test]
fn a_very_old_creation_is_not_counted_from() {
    let mut watched = Watched::new(100, 10.0);
    for task in 0..60 {
        watched.watch(f64::from(task) * 200.0, 60.0, |at| Hints {
            age: Some(span(36_000.0 + at)),
            ..model("m")
        });
    }
    let hints = Hints { age: Some(span(36_000.0)), ..model("m") };
    let plan = watched.look(90_000.0, 90_000.0, Phase::Live, None, hints).unwrap();
    let estimate = plan.track.unwrap().estimate.expect("by the time since the first look");
    assert!((50.0..75.0).contains(&estimate.remaining), "{estimate:?}");
}

#[test]
fn without_learning_the_interval_depends_on_the_age_alone() {
    let start = Instant::now();
    let mut pacer = Pacer::fixed(PACING);
    let client = Client::Named("x".into());
    let load = |_: &Client| Load {
        tasks: 1000,
        clients: 9,
        all_tasks: 5000,
        flow: Flow { per_second: 1.0, used: 1.0 },
    };
    assert_eq!(pacer.first_wait(0, &client, load(&client), start), Duration::ZERO);
    for age in [0.0, 55.0, 70.0, 1e4] {
        let json = HeaderValue::from_static("application/json");
        let snapshot = Snapshot::new(StatusCode::OK, json, Bytes::new(), start + span(age), Phase::Live);
        let look = Look { route: 0, first_seen: start, before: Before::Nothing, snapshot: &snapshot };
        let plan = pacer.looked(look, std::iter::once(&client), load).unwrap();
        assert_eq!((plan.wait, plan.fresh_for), (PACING.interval(span(age)), PACING.interval(span(age))));
        assert!(plan.track.is_none());
    }
    assert!(pacer.figures().is_empty() && pacer.curves(6).is_empty());
}

#[test]
fn a_sudden_rush_is_followed_at_once() {
    let mut watched = Watched::new(5, 10.0);
    for task in 0..50 {
        watched.watch(f64::from(task) * 100.0, 60.0, |_| model("m"));
    }
    watched.load = Load { tasks: 400, all_tasks: 400, ..watched.load };
    let waits: Vec<f64> = (0..400)
        .map(|task| {
            let at = 6000.0 + f64::from(task) * 0.1;
            let plan = watched.look(at, at, Phase::Live, None, model("m")).unwrap();
            plan.wait.as_secs_f64()
        })
        .collect();
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    assert!((20.0..120.0).contains(&mean), "{mean}, where 40 s use the budget");
}

/// One look of a history, with whatever an upstream may say.
#[derive(Debug, Clone)]
struct Event {
    wait: f64,
    task: usize,
    is_over: bool,
    hints: Hints,
    word: u8,
    load: Load,
}

fn event() -> impl Strategy<Value = Event> {
    let seconds = prop_oneof![Just(0.0), 0.0..1e-6, 0.0..10.0, 0.0..1000.0, Just(1e7), Just(1e9)];
    let age = proptest::option::of(prop_oneof![Just(0.0), 0.0..1e3, Just(1e9), Just(1e15)]);
    let progress = proptest::option::of(prop_oneof![
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(-1.0),
        0.0_f32..100.0,
        Just(3.0_f32),
        Just(100.0_f32),
        Just(1e30_f32)
    ]);
    let load = (
        0_usize..100_000,
        0_usize..1000,
        0_usize..100_000,
        prop_oneof![Just(0.0), Just(f64::MIN_POSITIVE), 0.0..1e3, Just(1e300)],
        prop_oneof![Just(0.0), 0.0..1e3, Just(1e300)],
    );
    (seconds, 0_usize..4, any::<bool>(), age, 0_u8..5, progress, 0_u8..3, load).prop_map(
        |(wait, task, is_over, age, name, progress, word, (tasks, clients, all_tasks, per_second, used))| {
            Event {
                wait,
                task,
                is_over,
                hints: Hints {
                    age: age.map(span),
                    model: (name > 0).then(|| name.to_string().into()),
                    progress,
                },
                word,
                load: Load { tasks, clients, all_tasks, flow: Flow { per_second, used } },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the upstream sends, a plan is a number within its bounds, and dearer requests never come sooner.
    #[test]
    fn no_history_breaks_a_plan(history in proptest::collection::vec(event(), 1..120)) {
        let start = Instant::now();
        let mut pacer = Pacer::learning(PACING, MEMORY, 2);
        let mut now = start;
        let mut tracks: [Option<(Instant, Box<Track>, String)>; 4] = Default::default();
        for event in history {
            now += span(event.wait);
            let json = HeaderValue::from_static("application/json");
            let phase = if event.is_over { Phase::Terminal } else { Phase::Live };
            let mut snapshot = Snapshot::new(StatusCode::OK, json, Bytes::new(), now, phase);
            snapshot.word = Some(event.word.to_string().into());
            snapshot.hints = Some(Box::new(event.hints));
            let known = tracks[event.task].take();
            let first_seen = known.as_ref().map_or(now, |(first, ..)| *first);
            let before = known.as_ref().map_or(Before::Nothing, |(_, track, word)| Before::Running {
                track,
                word: Some(word),
            });
            let client = Client::Named(event.task.to_string().into());
            let look = Look { route: event.task % 2, first_seen, before, snapshot: &snapshot };
            let plan = pacer.looked(look, std::iter::once(&client), |_| event.load);
            prop_assert_eq!(plan.is_some(), !event.is_over);
            let first = pacer.first_wait(event.task % 2, &client, event.load, now);
            prop_assert!(first <= span(LONGEST));
            let Some(plan) = plan else { continue };
            prop_assert!(plan.wait >= PACING.fresh_for && plan.wait <= span(LONGEST), "{:?}", plan.wait);
            prop_assert!(plan.fresh_for <= PACING.max_interval && plan.fresh_for <= plan.wait);
            // Four times the mean interval of an equal share, at the most.
            let Load { tasks, clients, all_tasks, flow } = event.load;
            let turns = clients.min(all_tasks).max(1) as f64;
            let bound = 4.0 * tasks.max(1) as f64 * turns / flow.per_second.max(1e-6);
            prop_assert!(plan.wait.as_secs_f64() <= bound.max(5.0) * 1.001);
            let track = plan.track.unwrap();
            if let Some(estimate) = track.estimate {
                let Estimate { remaining, low, high, .. } = estimate;
                prop_assert!(0.0 <= low && low <= remaining && remaining <= high && high.is_finite());
            }
            tracks[event.task] = Some((first_seen, track, event.word.to_string()));
        }
        for figures in pacer.figures() {
            prop_assert!(figures.expected.is_finite() && figures.delay.is_finite() && figures.price.is_finite());
        }
        for curve in pacer.curves(6) {
            prop_assert!(curve.alive.iter().all(|alive| (0.0..=1.0).contains(alive)));
            prop_assert!(curve.alive.is_sorted_by(|one, next| one >= next));
        }
    }

    #[test]
    fn a_dearer_request_never_comes_sooner(
        looks in proptest::collection::vec((0.0..500.0_f64, 0.0..500.0_f64, any::<bool>()), 0..200),
        age in 0.0..1e5_f64,
        cost in 1e-3..1e4_f64,
        dearer in 1.0..10.0_f64,
        most in 1e-3..1e5_f64,
    ) {
        let mut table = Table::default();
        for (from, length, is_over) in looks {
            if is_over {
                let spread = of(&table).spread(from, from + length);
                prop_assert!((0.0..=length.max(1.0)).contains(&spread.delay));
                table.ended(&spread, 1.0 / MEMORY);
            } else {
                table.survived(from, from + length);
            }
        }
        let hazard = of(&table);
        let (wait, later) = (hazard.wait(age, cost, most), hazard.wait(age, cost * dearer, most));
        prop_assert!((0.0..=most).contains(&wait), "{wait}");
        prop_assert!(later >= wait - 1e-6, "{wait} {later}");
        // The wait collects the price, where the longest wait does not end it.
        let steps = 20_000;
        let step = wait / f64::from(steps);
        let mut collected = 0.0;
        for number in 0..steps {
            let middle = (f64::from(number) + 0.5) * step;
            collected += (1.0 - (-hazard.between(age, age + middle)).exp()) * step;
        }
        prop_assert!(collected <= cost * 1.01 + 1e-6, "{collected} {cost}");
        prop_assert!(wait >= most * 0.9999 || collected >= cost * 0.97 - 1e-4, "{collected} {cost}");
    }
}
