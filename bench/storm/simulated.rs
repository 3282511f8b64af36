//! Owns the simulated storm: an hour of 10,000 clients on 1,000 live tasks, on paused time, through the real
//! core. The upstream is simulated: it answers after 80 to 120 ms, and has a rate limit.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use taskgate::core::budget::{Budget, Permit, Rate};
use taskgate::core::failure::Failure;
use taskgate::core::grant::{Client, Grant};
use taskgate::core::mirror::Mirror;
use taskgate::core::pacing::{MEMORY, Pacer, Pacing};
use taskgate::core::policy::Policy;
use taskgate::core::ports::{Cancelling, Connection, Fetching, Source};
use taskgate::core::snapshot::{Phase, Snapshot};
use taskgate::core::state::Retention;
use taskgate::core::task::{Route, Routes, TaskKey};
use taskgate::lifecycle::Lifecycle;
use tokio::time::{Duration, Instant, sleep};

use crate::tally::Tally;

const CLIENTS: u32 = 10_000;
const TASKS: u32 = 1_000;
const PER_MINUTE: u32 = 1_000;
const SHARE: f64 = 0.8;
const BURST: u32 = 20;
/// The interval between polls of a client that ignores `Retry-After`.
const DEAF_EVERY: Duration = Duration::from_secs(2);

/// An upstream that allows [`PER_MINUTE`] requests in any minute.
struct Upstream {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    minute: std::collections::VecDeque<Instant>,
    total: u64,
    too_many: u64,
}

impl Source for Upstream {
    fn fetch<'a>(&'a self, _: &'a TaskKey, _permit: Permit, _: Connection) -> Fetching<'a> {
        Box::pin(async move {
            sleep(Duration::from_millis(fastrand::u64(80..120))).await;
            let now = Instant::now();
            let mut heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            heard.total += 1;
            while heard.minute.front().is_some_and(|at| now - *at >= Duration::from_secs(60)) {
                heard.minute.pop_front();
            }
            if heard.minute.len() >= PER_MINUTE as usize {
                heard.too_many += 1;
                return Err(Failure::RateLimited { retry_after: Some(Duration::from_secs(1)) });
            }
            heard.minute.push_back(now);
            let body = Bytes::from(format!(r#"{{"status":"processing","n":{}}}"#, heard.total));
            let json = HeaderValue::from_static("application/json");
            Ok(Snapshot::new(StatusCode::OK, json, body, now, Phase::Live).into())
        })
    }

    fn cancel<'a>(&'a self, _: &'a TaskKey, _: Permit) -> Cancelling<'a> {
        unreachable!("nobody cancels here")
    }

    fn distrust_connections(&self) {}
}

/// Runs one storm; `obedient` is the part of the clients that wait for `Retry-After`.
pub fn run(learns: bool, obedient: f64, seconds: u64) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map(|runtime| runtime.block_on(storm(learns, obedient, seconds))).unwrap_or_default()
}

async fn storm(learns: bool, obedient: f64, seconds: u64) -> Tally {
    let start = Instant::now();
    let lifecycle = Lifecycle::default();
    let per_minute = f64::from(PER_MINUTE) * SHARE;
    let budget = Budget::new(Rate { per_minute, burst: BURST }, 64, start);
    let upstream = Arc::new(Upstream { heard: Mutex::default() });
    let routes = Routes::new(Route::parse("/v1/tasks/{id}").into_iter().collect());
    let source = Arc::clone(&upstream) as _;
    let pacing = Pacing { fresh_for: Duration::from_secs(2), max_interval: Duration::from_secs(5) };
    let pacer = if learns { Pacer::learning(pacing, MEMORY, CLIENTS as usize) } else { Pacer::fixed(pacing) };
    let mirror = Mirror::start(policy(), pacer, routes.clone(), 256 << 20, budget, source, &lifecycle);
    let ideal = f64::from(TASKS) * 60.0 / per_minute;
    let known_from = start + Duration::from_secs_f64(ideal + 10.0);
    let tally = Arc::new(Mutex::new(Tally {
        name: format!(
            "simulated {} min, {}, {CLIENTS} clients, {TASKS} tasks, {PER_MINUTE}/min, {:.0} % obey Retry-After",
            seconds / 60,
            if learns { "learning" } else { "fixed intervals" },
            obedient * 100.0
        ),
        allowed: f64::from(BURST) + per_minute * seconds as f64 / 60.0,
        ideal_s: ideal,
        ..Tally::default()
    }));
    for number in 0..CLIENTS {
        let Ok(key) = routes.find(&format!("/v1/tasks/t{}", number % TASKS)) else { continue };
        let client = Client::at(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)));
        let grant = Grant::issue(key, client, None);
        let listens = f64::from(number / TASKS % 10) < obedient * 10.0;
        drop(lifecycle.spawn(poll(mirror.clone(), grant, listens, known_from, Arc::clone(&tally))));
    }
    sleep(Duration::from_secs(seconds)).await;
    let mut tally = std::mem::take(&mut *tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let heard = upstream.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    (tally.upstream, tally.too_many) = (heard.total, heard.too_many);
    tally.finished()
}

async fn poll(mirror: Mirror, grant: Grant, listens: bool, known_from: Instant, tally: Arc<Mutex<Tally>>) {
    // The clients start at different times.
    sleep(Duration::from_millis(fastrand::u64(0..5_000))).await;
    loop {
        let result = mirror.look(&grant, std::future::pending()).await;
        let now = Instant::now();
        let retry_after = {
            let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            tally.polls += 1;
            match &result {
                Ok(answer) => {
                    if now >= known_from {
                        let age = now.saturating_duration_since(answer.state.snapshot.fetched).as_millis();
                        tally.ages.push(u32::try_from(age).unwrap_or(u32::MAX));
                    }
                    answer.retry_after
                }
                Err(refusal) => {
                    tally.refused += 1;
                    Some(refusal.retry_after)
                }
            }
        };
        sleep(retry_after.filter(|_| listens).map_or(DEAF_EVERY, Duration::from_secs)).await;
    }
}

fn policy() -> Policy {
    Policy {
        retention: Retention {
            terminal_ttl: Duration::from_secs(3600),
            not_found_ttl: Duration::from_secs(2),
            stale_for: Duration::from_secs(600),
        },
        patience: Duration::from_secs(5),
        gone_after: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        max_tasks: 20_000,
    }
}
