//! Tests of gate and bucket together, with instants made by hand.

use super::*;
use crate::core::task::{Route, Routes};

const RATE: Rate = Rate { per_minute: 60.0, burst: 10 };

struct Bench {
    budget: Budget,
    start: Instant,
    routes: Routes,
}

impl Bench {
    fn new() -> Self {
        let start = Instant::now();
        let routes = Routes::new(vec![Route::parse("/t/{id}").unwrap()]);
        Self { budget: Budget::new(RATE, 64, start), start, routes }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn effective_per_minute(&self) -> f64 {
        self.budget.reading(self.start).effective_per_minute
    }

    fn take(&self, seconds: f64) -> Option<Pass> {
        self.budget.acquire(self.at(seconds)).map(|permit| permit.pass())
    }

    fn settle(&self, seconds: f64, pass: Pass, task: &str, failure: Option<Failure>) -> Change {
        let key = self.routes.find(&format!("/t/{task}")).unwrap();
        self.budget.settle(self.at(seconds), pass, &key, failure)
    }
}

#[test]
fn a_quota_that_the_upstream_tells_slows_every_request_until_its_reset() {
    let bench = Bench::new();
    let told = |remaining, seconds| Quota {
        limit: Some(60.0),
        remaining,
        resets_in: Duration::from_secs_f64(seconds),
    };
    let heed = |seconds: f64, quota: Quota| bench.budget.ledger().heed(&[quota], bench.at(seconds));
    let sent = |from: u32, to: u32| {
        let moments = (from * 10..to * 10).map(|tenth| f64::from(tenth) / 10.0);
        moments.filter(|at| bench.take(*at).is_some()).count()
    };
    heed(0.0, told(0.0, 50.0));
    assert_eq!(sent(0, 2), 11, "nothing is heeded unless it is asked for: a burst and the rate");
    bench.budget.heed_quotas(Some(1.0));
    heed(2.0, told(10.0, 50.0));
    assert_eq!(bench.effective_per_minute(), 12.0);
    assert!(sent(2, 52) <= 10, "what is left lasts until the reset");
    assert!(sent(52, 53) >= 9, "then the settings alone decide");
    heed(53.0, told(0.0, 59.0));
    assert_eq!(sent(53, 112), 2, "one request in half a minute always passes");
    heed(120.0, told(1.0, 3600.0));
    assert!(sent(120, 121) >= 9, "the end of a day's quota stalls nobody");
}

fn limited(seconds: Option<u64>) -> Option<Failure> {
    Some(Failure::RateLimited { retry_after: seconds.map(Duration::from_secs) })
}

#[test]
fn a_429_closes_until_the_time_it_names_and_one_probe_reopens() {
    let bench = Bench::new();
    let pass = bench.take(0.0).unwrap();
    bench.settle(1.0, pass, "a", limited(Some(7)));
    assert!(bench.take(7.9).is_none(), "before the deadline");
    let probe = bench.take(8.0).unwrap();
    assert!(bench.take(9.0).is_none(), "one probe at a time");
    assert!(matches!(bench.settle(9.0, probe, "a", None), Change::Opened { .. }));
    assert!(bench.take(9.1).is_none(), "reopening starts from an empty bucket");
    assert!(bench.take(9.0 + 60.0 / 42.0).is_some(), "then normal refill, at the slower rate");
}

#[test]
fn stragglers_of_one_closure_slow_the_rate_once() {
    let bench = Bench::new();
    let passes: Vec<Pass> = (0..5).map(|_| bench.take(0.0).unwrap()).collect();
    for (index, pass) in passes.iter().enumerate() {
        bench.settle(1.0, *pass, "a", limited(Some(index as u64 + 1)));
    }
    assert!((bench.effective_per_minute() - 42.0).abs() < 1e-6);
    assert!(bench.take(5.9).is_none(), "the longest wait counts");
    assert!(bench.take(6.0).is_some());
}

#[test]
fn a_late_success_does_not_open_the_gate() {
    let bench = Bench::new();
    let early = bench.take(0.0).unwrap();
    let refused = bench.take(0.0).unwrap();
    bench.settle(1.0, refused, "a", limited(Some(60)));
    assert_eq!(bench.settle(2.0, early, "b", None), Change::None);
    assert!(bench.take(30.0).is_none());
}

#[test]
fn a_straggling_429_while_probing_closes_again() {
    let bench = Bench::new();
    let early = bench.take(0.0).unwrap();
    let refused = bench.take(0.0).unwrap();
    bench.settle(1.0, refused, "a", limited(Some(4)));
    let probe = bench.take(5.0).unwrap();
    bench.settle(6.0, early, "b", limited(Some(10)));
    assert_eq!(bench.settle(7.0, probe, "a", None), Change::None, "the deadline named later holds");
    assert!(bench.take(15.9).is_none());
    assert!(bench.take(16.0).is_some());
}

#[test]
fn a_429_that_straggles_into_an_outage_is_obeyed() {
    let bench = Bench::new();
    let early = bench.take(0.0).unwrap();
    for task in ["a", "b", "c", "d", "e"] {
        let pass = bench.take(0.0).unwrap();
        bench.settle(0.0, pass, task, Some(Failure::Unreachable));
    }
    assert!(matches!(bench.budget.gate(), Position::Closed { because: Failure::Unreachable, .. }));
    bench.settle(0.5, early, "f", limited(Some(20)));
    assert!(matches!(bench.budget.gate(), Position::Closed { because: Failure::RateLimited { .. }, .. }));
    assert!((bench.effective_per_minute() - 42.0).abs() < 1e-6);
    assert!(bench.take(20.4).is_none());
    assert!(bench.take(20.5).is_some());
}

#[test]
fn a_429_without_a_time_backs_off_and_absurd_ones_are_capped() {
    let bench = Bench::new();
    let mut now = 0.0;
    for hold in [1.0, 2.0, 4.0, 8.0] {
        let pass = bench.take(now).unwrap();
        bench.settle(now, pass, "a", limited(None));
        assert!(bench.take(now + hold - 0.01).is_none(), "{hold}");
        // The bucket is empty as well, and slower each time.
        now += hold.max(bench.budget.ledger().bucket.interval().as_secs_f64());
    }
    let pass = bench.take(now).unwrap();
    bench.settle(now, pass, "a", limited(Some(1_000_000_000)));
    assert!(bench.take(now + 299.9).is_none());
    assert!(bench.take(now + 300.0).is_some());
}

#[test]
fn a_rejected_or_exhausted_key_is_tried_every_thirty_seconds() {
    for failure in [Failure::KeyRejected, Failure::QuotaExhausted] {
        let bench = Bench::new();
        let pass = bench.take(0.0).unwrap();
        bench.settle(0.0, pass, "a", Some(failure));
        assert!(bench.take(0.9).is_none());
        // It may be that one task's matter, until a second one is turned away too.
        let mut now = 1.0;
        for task in ["b", "a", "b"] {
            let pass = bench.take(now).unwrap();
            bench.settle(now, pass, task, Some(failure));
            assert!(bench.take(now + 29.9).is_none());
            now += 30.0;
        }
        assert!((bench.effective_per_minute() - 60.0).abs() < 1e-6, "not a matter of rate");
    }
}

#[test]
fn a_task_that_is_turned_away_alone_shuts_nobody_out() {
    let bench = Bench::new();
    let rejected = Some(Failure::KeyRejected);
    let pass = bench.take(0.0).unwrap();
    bench.settle(0.0, pass, "a", rejected);
    // While it is the only one that is asked about, its own pauses are enough.
    let pass = bench.take(1.0).unwrap();
    bench.settle(1.0, pass, "a", rejected);
    let probe = bench.take(2.0).expect("another task can find out");
    assert!(matches!(bench.settle(2.0, probe, "b", None), Change::Opened { .. }));
    let pass = bench.take(3.0).unwrap();
    assert_eq!(bench.settle(3.0, pass, "a", rejected), Change::None);
    assert_eq!(bench.budget.gate(), Position::Open);
    // As the probe of a gate that closed for something else it finds out nothing.
    let pass = bench.take(4.0).unwrap();
    bench.settle(4.0, pass, "b", limited(Some(2)));
    let probe = bench.take(6.0).unwrap();
    assert_eq!(bench.settle(6.0, probe, "a", rejected), Change::None);
    assert!(bench.take(6.9).is_none());
    let probe = bench.take(8.0).unwrap();
    assert!(matches!(bench.settle(8.0, probe, "b", None), Change::Opened { .. }));
    // Once it has succeeded itself, it counts again.
    let pass = bench.take(10.0).unwrap();
    bench.settle(10.0, pass, "a", None);
    let pass = bench.take(12.0).unwrap();
    assert!(matches!(bench.settle(12.0, pass, "a", rejected), Change::Closed { .. }));
}

#[test]
fn five_failures_in_a_row_over_three_tasks_open_the_breaker() {
    let down = Some(Failure::Unreachable);
    let bench = Bench::new();
    for (index, task) in ["a", "b", "a", "b", "a"].into_iter().enumerate() {
        let pass = bench.take(0.0).unwrap();
        assert_eq!(bench.settle(0.0, pass, task, down), Change::None, "two tasks only, failure {index}");
    }
    let pass = bench.take(0.0).unwrap();
    assert!(matches!(bench.settle(0.0, pass, "c", down), Change::Closed { .. }));
    assert!(bench.take(0.9).is_none());
    let probe = bench.take(1.0).unwrap();
    bench.settle(1.5, probe, "a", Some(Failure::TimedOut));
    assert!(bench.take(2.4).is_none(), "at most one probe a second");
    assert!(bench.take(2.5).is_some());
}

#[test]
fn requests_that_hang_while_others_are_answered_are_no_outage() {
    let bench = Bench::new();
    let hanging: Vec<Pass> = (0..8).map(|_| bench.take(0.0).unwrap()).collect();
    let other = bench.take(0.0).unwrap();
    bench.settle(1.0, other, "other", None);
    for (pass, task) in hanging.into_iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        assert_eq!(bench.settle(10.0, pass, task, Some(Failure::TimedOut)), Change::None);
    }
    assert_eq!(bench.budget.gate(), Position::Open);
}

#[test]
fn an_answer_in_between_keeps_the_breaker_shut() {
    let bench = Bench::new();
    for (task, failure) in [
        ("a", Some(Failure::TimedOut)),
        ("b", Some(Failure::ServerError { status: 503, retry_after: None })),
        ("c", Some(Failure::Unreachable)),
        ("d", Some(Failure::Unreachable)),
        ("e", None),
        ("f", Some(Failure::Unreachable)),
    ] {
        let pass = bench.take(0.0).unwrap();
        assert_eq!(bench.settle(0.0, pass, task, failure), Change::None);
    }
    assert_eq!(bench.budget.gate(), Position::Open);
}

#[tokio::test(start_paused = true)]
async fn permits_in_flight_are_bounded_and_come_back_on_drop() {
    let now = Instant::now();
    let budget = Budget::new(RATE, 2, now);
    let first = budget.acquire(now).unwrap();
    let second = first.another().await.unwrap();
    assert!(budget.acquire(now).is_none());
    assert_eq!(budget.readiness(now), Readiness::Busy);
    drop(second);
    assert!(budget.acquire(now).is_some());
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_never_begins_a_probe() {
    let bench = Bench::new();
    let permit = bench.budget.acquire(bench.start).unwrap();
    let refused = bench.take(0.0).unwrap();
    bench.settle(0.0, refused, "a", limited(Some(5)));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(permit.another().await.is_none());
    let probe = bench.budget.acquire(Instant::now()).unwrap();
    assert!(probe.another().await.is_none());
}
