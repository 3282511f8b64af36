//! Faults on real sockets, under load: an upstream that is down for a minute, storms of 429, hangs, and one
//! task that always fails beside healthy ones (scorecard R3, R9; invariant 8).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::{End, Reply, Upstream, gateway, get};

const TASKS: usize = 40;
const PER_MINUTE: u32 = 3000;
const BURST: u32 = 20;
const SETTINGS: &[(&str, &str)] = &[
    ("polling.fresh_for", "1s"),
    ("polling.max_interval", "1s"),
    ("polling.patience", "1s"),
    ("upstream.timeout", "1s"),
    ("upstream.connect_timeout", "1s"),
    ("budget.requests_per_minute", "3000"),
    ("budget.share", "1"),
    ("budget.burst", "20"),
];

/// One answer, and when it came.
struct Seen {
    at: Instant,
    took: Duration,
    status: u16,
    body: String,
    cache_status: String,
}

/// Polls every task in turn from several clients at once, until `until`; errors of the connection panic.
async fn load(address: SocketAddr, until: Instant) -> Vec<Seen> {
    let mut clients = JoinSet::new();
    for client in 0..8 {
        clients.spawn(async move {
            let mut seen = Vec::new();
            let mut number = client * 5;
            while Instant::now() < until {
                let start = Instant::now();
                let answer = get(address, &format!("/v1/tasks/t{}", number % TASKS)).await;
                seen.push(Seen {
                    at: start,
                    took: start.elapsed(),
                    status: answer.status,
                    body: answer.text(),
                    cache_status: answer.header("cache-status").unwrap_or_default(),
                });
                number += 1;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            seen
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// An upstream that can be switched between well and `ill`.
async fn switchable(ill: Reply) -> (Upstream, Arc<AtomicBool>) {
    let is_ill = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_ill);
    let upstream = Upstream::start(move |number, _| {
        if is_ill.load(Ordering::SeqCst) {
            ill.clone()
        } else {
            Reply::json(&format!(r#"{{"status":"processing","n":{number}}}"#))
        }
    })
    .await;
    (upstream, switch)
}

/// The most requests in any window of this length.
fn densest(times: &[Instant], window: Duration) -> usize {
    (0..times.len())
        .map(|first| times[first..].iter().take_while(|at| **at - times[first] <= window).count())
        .max()
        .unwrap_or(0)
}

fn between(upstream: &Upstream, from: Instant, to: Instant) -> Vec<Instant> {
    upstream.times().into_iter().map(|(at, _)| at).filter(|at| (from..to).contains(at)).collect()
}

async fn learn_all(address: SocketAddr) {
    for number in 0..TASKS {
        assert_eq!(get(address, &format!("/v1/tasks/t{number}")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_down_for_a_minute_loses_nothing_and_is_not_stormed() {
    let minute = Duration::from_secs(60);
    let (upstream, ill) = switchable(Reply::raw("", End::Reset)).await;
    let gateway = gateway(&upstream, SETTINGS).await;
    learn_all(gateway.address).await;
    let down = Instant::now();
    ill.store(true, Ordering::SeqCst);
    let back = down + minute;
    let recovery = Duration::from_secs(10);
    let load = tokio::spawn(load(gateway.address, back + recovery));
    tokio::time::sleep_until(back.into()).await;
    ill.store(false, Ordering::SeqCst);
    let well = Instant::now();
    let seen = load.await.unwrap();
    assert!(seen.len() > 1000, "there was load: {}", seen.len());
    assert!(
        seen.iter().all(|one| one.status == 200 && one.body.contains("processing")),
        "known ids are answered"
    );
    let settled = down + Duration::from_secs(5);
    for one in seen.iter().filter(|one| one.at > settled && one.at + one.took < well) {
        assert!(one.cache_status.contains("detail=upstream_unreachable"), "marked: {}", one.cache_status);
    }
    let probes = between(&upstream, settled, well);
    // One may be heard late on a busy machine, and the next one in time; over the whole time that makes none more.
    assert!(densest(&probes, Duration::from_millis(500)) <= 1, "at most one probe a second");
    assert!(probes.len() <= 56, "at most one probe a second: {}", probes.len());
    assert!(probes.len() >= 30, "and it goes on trying: {}", probes.len());
    // Two refreshes, the probe and everybody's next one, take two seconds where nothing else is done.
    let recovered = well + Duration::from_secs(8);
    let late: Vec<_> =
        seen.iter().filter(|one| one.at > recovered && one.cache_status.contains("detail=")).collect();
    assert!(late.is_empty(), "still stale: {:?}", late.first().map(|one| (&one.cache_status, one.at - well)));
    let after = between(&upstream, well, Instant::now());
    let allowed = BURST as usize + PER_MINUTE as usize / 60 + 1;
    assert!(densest(&after, Duration::from_secs(1)) <= allowed, "no spike over the budget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms_of_429_are_waited_out() {
    let (upstream, ill) = switchable(Reply::new(429, "Retry-After: 2\r\n", "{}")).await;
    let gateway = gateway(&upstream, SETTINGS).await;
    learn_all(gateway.address).await;
    ill.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let end = start + Duration::from_secs(9);
    let load = tokio::spawn(load(gateway.address, end + Duration::from_secs(10)));
    tokio::time::sleep_until(end.into()).await;
    ill.store(false, Ordering::SeqCst);
    let well = Instant::now();
    let seen = load.await.unwrap();
    assert!(seen.iter().all(|one| one.status == 200), "a 429 is never a task's failure");
    let turned_away = between(&upstream, start, well);
    // The first closure has stragglers: what was in flight with it. From then on each closure is one probe.
    let settled: Vec<Instant> =
        turned_away.iter().copied().filter(|at| *at > start + Duration::from_secs(2)).collect();
    assert!((2..=4).contains(&settled.len()), "{} probes in 7 s", settled.len());
    assert!(
        settled.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(1990)),
        "none before its time"
    );
    let late = seen
        .iter()
        .filter(|one| one.at > well + Duration::from_secs(8) && one.cache_status.contains("detail="));
    assert_eq!(late.count(), 0, "recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_hangs_holds_nobody_longer_than_patience_and_timeout() {
    let (upstream, ill) = switchable(Reply::raw("", End::Hang)).await;
    let gateway = gateway(&upstream, SETTINGS).await;
    learn_all(gateway.address).await;
    ill.store(true, Ordering::SeqCst);
    let end = Instant::now() + Duration::from_secs(8);
    let load = tokio::spawn(load(gateway.address, end + Duration::from_secs(8)));
    tokio::time::sleep_until(end.into()).await;
    ill.store(false, Ordering::SeqCst);
    let well = Instant::now();
    let seen = load.await.unwrap();
    assert!(seen.iter().all(|one| one.status == 200));
    let longest = seen.iter().map(|one| one.took).max().unwrap();
    // patience 1 s + timeout 1 s, and room for a machine that is busy elsewhere. The upstream itself never lets go.
    assert!(longest < Duration::from_secs(8), "{longest:?}");
    assert!(seen.iter().any(|one| one.cache_status.contains("detail=upstream_timeout")));
    let late = seen
        .iter()
        .filter(|one| one.at > well + Duration::from_secs(6) && one.cache_status.contains("detail="));
    assert_eq!(late.count(), 0, "recovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_always_fails_costs_its_neighbours_nothing() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("/t7 ") {
            Reply::new(500, "", "{}")
        } else {
            Reply::json(r#"{"status":"processing"}"#)
        }
    })
    .await;
    // On a busy machine a healthy answer may take its second, too.
    let slow = [("polling.patience", "5s"), ("upstream.timeout", "10s"), ("upstream.connect_timeout", "10s")];
    let gateway = gateway(&upstream, &[SETTINGS, &slow].concat()).await;
    let start = Instant::now();
    let seen = load(gateway.address, start + Duration::from_secs(9)).await;
    let (failed, healthy): (Vec<_>, Vec<_>) = seen.iter().partition(|one| one.status != 200);
    let others: Vec<_> = failed.iter().filter(|one| one.status != 502).map(|one| &one.body).collect();
    assert!(others.is_empty() && !failed.is_empty(), "{others:?}");
    assert!(healthy.iter().all(|one| !one.cache_status.contains("detail=")), "no neighbour is ever stale");
    let times = upstream.times();
    let asked = |path: &str| times.iter().filter(|(_, asked)| asked == path).count();
    assert!(asked("/v1/tasks/t7") <= 5, "at 0, 1, 3, 7 s: {}", asked("/v1/tasks/t7"));
    assert!(asked("/v1/tasks/t7") >= 3, "and it is tried again");
    // Every second, where nothing else is done.
    assert!(asked("/v1/tasks/t8") >= 3, "its neighbour is asked again and again: {}", asked("/v1/tasks/t8"));
}

/// What creates and other programs spend shows in the answers, before a 429 does.
#[tokio::test]
async fn a_quota_that_runs_low_slows_the_gateway_and_shows_on_the_dashboard() {
    let reply = || {
        let headers = "X-RateLimit-Limit: 1000\r\nX-RateLimit-Remaining: 210\r\nX-RateLimit-Reset: 50\r\n";
        Reply::new(200, headers, r#"{"status":"processing"}"#)
    };
    let upstream = Upstream::start(move |_, _| reply()).await;
    for (heed, expected) in [("true", "52"), ("false", "800")] {
        let gateway = gateway(&upstream, &[("budget.heed_headers", heed)]).await;
        assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 200);
        let page = get(gateway.admin, "/metrics").await.text();
        let rate = page
            .lines()
            .find_map(|line| line.strip_prefix("taskgate_budget_effective_requests_per_second "))
            .map(|rate| (rate.parse::<f64>().unwrap() * 60.0).round().to_string());
        assert_eq!(rate.as_deref(), Some(expected), "heed_headers = {heed}");
    }
}
