//! Tests of the driver: it dispatches in time, and wakes seldom.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::*;
use crate::core::budget::{Budget, Permit, Rate};
use crate::core::failure::Failure;
use crate::core::grant::{Client, Grant};
use crate::core::pacing::{Pacer, Pacing};
use crate::core::policy::Policy;
use crate::core::ports::{Cancelling, Connection, Fetching, Source};
use crate::core::snapshot::{Phase, Snapshot};
use crate::core::state::Retention;
use crate::core::store::Store;
use crate::core::task::{Route, Routes, TaskKey};
use crate::lifecycle::Lifecycle;

/// A source that answers at once, and notes the time of each request.
struct Prompt {
    asked: Mutex<Vec<Instant>>,
    answer: fn(usize) -> Result<Phase, Failure>,
}

impl Source for Prompt {
    fn fetch<'a>(&'a self, _: &'a TaskKey, permit: Permit, _: Connection) -> Fetching<'a> {
        Box::pin(async move {
            let now = Instant::now();
            let mut asked = self.asked.lock();
            asked.push(now);
            let json = HeaderValue::from_static("application/json");
            drop(permit);
            let phase = (self.answer)(asked.len())?;
            Ok(Snapshot::new(StatusCode::OK, json, Bytes::from_static(b"{}"), now, phase).into())
        })
    }

    fn cancel<'a>(&'a self, _: &'a TaskKey, _: Permit) -> Cancelling<'a> {
        unreachable!("nobody cancels here")
    }

    fn distrust_connections(&self) {}
}

struct Bench {
    coordinator: Arc<Coordinator>,
    source: Arc<Prompt>,
    wakes: Arc<AtomicUsize>,
    routes: Routes,
}

impl Bench {
    fn new(per_minute: f64, answer: fn(usize) -> Result<Phase, Failure>) -> Self {
        let policy = Policy {
            retention: Retention {
                terminal_ttl: Duration::from_secs(3600),
                not_found_ttl: Duration::from_secs(2),
                stale_for: Duration::from_secs(600),
            },
            patience: Duration::from_secs(5),
            gone_after: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            max_tasks: 1000,
        };
        let budget = Budget::new(Rate { per_minute, burst: 1 }, 64, Instant::now());
        let source = Arc::new(Prompt { asked: Mutex::default(), answer });
        let lifecycle = Lifecycle::default();
        let port: Arc<dyn Source> = Arc::<Prompt>::clone(&source);
        let routes = Routes::new(vec![Route::parse("/t/{id}").unwrap()]);
        let store = Store::new(1 << 20);
        let pacing = Pacing { fresh_for: Duration::from_secs(2), max_interval: Duration::from_secs(5) };
        let pacer = Pacer::fixed(pacing);
        let coordinator =
            Arc::new(Coordinator::new(policy, pacer, routes.clone(), store, budget, port, lifecycle.clone()));
        let wakes = Arc::new(AtomicUsize::new(0));
        let (counter, mut driver) = (Arc::clone(&wakes), Box::pin(Arc::clone(&coordinator).run()));
        lifecycle.spawn_background(poll_fn(move |context| {
            counter.fetch_add(1, Ordering::Relaxed);
            driver.as_mut().poll(context)
        }));
        Self { coordinator, source, wakes, routes }
    }

    /// A waiter of some client, which the test holds.
    fn join(&self, id: usize) -> Waiter {
        let key = self.routes.find(&format!("/t/{id}")).unwrap();
        match self.coordinator.join(&Grant::issue(key, Client::Named("x".into()), None), Duration::ZERO) {
            Joined::Waiter(waiter) => waiter,
            Joined::Fresh(_) | Joined::Full => panic!("there is room, and nothing is fresh"),
        }
    }

    fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    fn asked(&self) -> Vec<Instant> {
        self.source.asked.lock().clone()
    }
}

async fn an_hour() {
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_do_the_driver_sleeps() {
    let bench = Bench::new(600.0, |_| Ok(Phase::Terminal));
    an_hour().await;
    assert!(bench.wakes() <= 2, "{}", bench.wakes());
    drop(bench.join(1));
    an_hour().await;
    assert!(bench.wakes() <= 6, "{}", bench.wakes());
}

#[tokio::test(start_paused = true)]
async fn a_watched_task_is_asked_about_on_time_and_costs_a_wake_or_two_a_refresh() {
    let bench = Bench::new(600.0, |_| Ok(Phase::Live));
    let _waiter = bench.join(1);
    an_hour().await;
    let asked = bench.asked();
    // Every 2 s while the task is young, every 5 s from its hundredth second on.
    assert!((715..=760).contains(&asked.len()), "{}", asked.len());
    let gaps: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let late = Duration::from_millis(2);
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(5) + late), "it never oversleeps");
    assert!(gaps[0] >= Duration::from_secs(2) && gaps[0] <= Duration::from_secs(2) + late);
    assert!(bench.wakes() <= 3 * asked.len() + 3, "{} for {}", bench.wakes(), asked.len());
}

#[tokio::test(start_paused = true)]
async fn more_demand_than_budget_costs_a_wake_or_two_a_token_and_wastes_none() {
    let bench = Bench::new(60.0, |_| Ok(Phase::Live));
    let _waiters: Vec<Waiter> = (0..500).map(|id| bench.join(id)).collect();
    an_hour().await;
    let asked = bench.asked().len();
    assert!((3580..=3602).contains(&asked), "a request a second: {asked}");
    assert!(bench.wakes() <= 3 * asked + 3, "{} for {asked}", bench.wakes());
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_costs_a_wake_or_two_a_probe() {
    let bench = Bench::new(600.0, |_| Err(Failure::KeyRejected));
    let _waiters: Vec<Waiter> = (0..50).map(|id| bench.join(id)).collect();
    an_hour().await;
    let asked = bench.asked();
    assert!((118..=122).contains(&asked.len()), "one every thirty seconds: {}", asked.len());
    let mut gaps = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_millis());
    assert!(gaps.next().is_some_and(|gap| (1000..=1002).contains(&gap)), "the second task finds out");
    assert!(gaps.all(|gap| (30_000..=30_002).contains(&gap)));
    assert!(bench.wakes() <= 3 * asked.len() + 3, "{} for {}", bench.wakes(), asked.len());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_down_costs_a_wake_or_two_a_probe() {
    let bench = Bench::new(600.0, |_| Err(Failure::Unreachable));
    let _waiters: Vec<Waiter> = (0..50).map(|id| bench.join(id)).collect();
    an_hour().await;
    let asked = bench.asked().len();
    assert!((3400..=3620).contains(&asked), "one a second: {asked}");
    assert!(bench.wakes() <= 3 * asked + 3, "{} for {asked}", bench.wakes());
}
