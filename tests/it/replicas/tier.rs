//! The scripts and what calls them, beside a real server: who may send a request, and which state is kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use taskgate::core::failure::Failure;
use taskgate::core::identity::Aliases;
use taskgate::core::pacing::Plan;
use taskgate::core::shared::{
    Alone, Begun, Clearance, GateNews, Kept, Landed, Landing, News, SharedTier, Terms,
};
use taskgate::core::snapshot::{Phase, Snapshot};
use taskgate::core::state::{Retention, State};
use taskgate::core::task::{Route, Routes, TaskKey};
use taskgate::shared::{Options, Pace, RedisTier};
use tokio::time::Instant;

use super::redis_server::RedisServer;
use crate::support::{KEY, until};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_millis(500);
const AMPLE: Pace = Pace { per_minute: 600_000.0, burst: 1000 };

/// A replica that is connected.
async fn replica(redis: &RedisServer, rate: Pace) -> Arc<RedisTier> {
    replica_with(redis, rate, KEY).await
}

/// A replica that does not listen yet.
fn unheard(redis: &RedisServer, rate: Pace, api_key: &str) -> RedisTier {
    let options = Options {
        redis_url: &redis.url(),
        namespace: "test",
        base_url: "https://upstream.example",
        api_key,
        replicas_hint: 2,
        rate,
        timeout: 10 * SECOND,
    };
    RedisTier::new(&options).unwrap()
}

async fn replica_with(redis: &RedisServer, rate: Pace, api_key: &str) -> Arc<RedisTier> {
    let tier = Arc::new(unheard(redis, rate, api_key));
    let listening = Arc::clone(&tier);
    tokio::spawn(async move {
        loop {
            listening.news().await;
        }
    });
    until("the tier answers", async || tier.trouble().is_none().then_some(())).await;
    tier
}

fn key(id: &str) -> TaskKey {
    Routes::new(vec![Route::parse("/v1/tasks/{id}").unwrap()]).bare(id).unwrap()
}

fn terms(owner: u64) -> Terms {
    Terms { owner, known: 0, weight: 1, lease: Some(LEASE) }
}

fn state(phase: Phase, body: &str, sequence: u64) -> Arc<State> {
    let json = HeaderValue::from_static("application/json; charset=\"utf-8\"");
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut snapshot = Snapshot::new(StatusCode::OK, json, body, Instant::now(), phase);
    snapshot.sequence = sequence;
    snapshot.word = Some("a \"word\"".into());
    snapshot.result_lifetime = Some(1000 * SECOND);
    let retention =
        Retention { terminal_ttl: 3600 * SECOND, not_found_ttl: 2 * SECOND, stale_for: 600 * SECOND };
    let plan = Plan { wait: 100 * SECOND, fresh_for: 100 * SECOND, track: None };
    State::new(snapshot, Instant::now(), Aliases::default(), &retention, Some(plan))
}

/// The clearance of a request, once there is a token.
async fn go(tier: &RedisTier, key: Option<&TaskKey>, terms: Terms) -> Clearance {
    until("a request may go", async || match tier.begin(key, terms).await {
        Ok(Begun::Go(clearance)) => Some(clearance),
        Ok(Begun::NotBefore(_)) => None,
        other => panic!("{other:?}"),
    })
    .await
}

async fn land(tier: &RedisTier, key: &TaskKey, clearance: Clearance, phase: Phase, body: &str) -> Landed {
    let state = state(phase, body, clearance.sequence);
    tier.land(Some(key), Landing { clearance, state: Some(&state), gate: GateNews::None }).await.unwrap()
}

async fn tell(tier: &RedisTier, clearance: Clearance, gate: GateNews) {
    tier.land(None, Landing { clearance, state: None, gate }).await.unwrap();
}

fn body_of(begun: &Begun) -> &str {
    match begun {
        Begun::Newer(shared) => std::str::from_utf8(&shared.snapshot.body).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_flight_of_a_task_at_a_time_and_its_state_is_everybodys() {
    let Some(redis) = RedisServer::start() else { return };
    let (a, b) = (replica(&redis, AMPLE).await, replica(&redis, AMPLE).await);
    let task = key("one");
    let flight = go(&a, Some(&task), terms(1)).await;
    let begun = b.begin(Some(&task), terms(2)).await.unwrap();
    let Begun::Leased(until) = begun else { panic!("{begun:?}") };
    assert!(until > Instant::now() && until <= Instant::now() + LEASE);
    assert!(matches!(b.begin(Some(&key("other")), terms(3)).await, Ok(Begun::Go(_))), "another task's own");
    assert!(matches!(land(&a, &task, flight, Phase::Live, "{\"n\":1}").await, Landed::Kept));
    let begun = b.begin(Some(&task), terms(2)).await.unwrap();
    assert_eq!(body_of(&begun), "{\"n\":1}");
    let Begun::Newer(shared) = begun else { unreachable!() };
    let sent = state(Phase::Live, "{\"n\":1}", flight.sequence).snapshot.clone();
    let got = &shared.snapshot;
    assert_eq!((got.status, &got.content_type, &got.etag), (sent.status, &sent.content_type, &sent.etag));
    assert_eq!(
        (got.sequence, &got.word, got.result_lifetime),
        (flight.sequence, &sent.word, sent.result_lifetime)
    );
    // Whoever knows it asks the upstream.
    let known = Terms { known: flight.sequence, ..terms(2) };
    let next = go(&b, Some(&task), known).await;
    assert!(next.sequence > flight.sequence);
}

#[tokio::test]
async fn a_lease_and_a_probe_are_free_soon_unless_their_owner_renews_them() {
    let Some(redis) = RedisServer::start() else { return };
    let (a, b) = (replica(&redis, AMPLE).await, replica(&redis, AMPLE).await);
    let task = key("held");
    let because = Failure::Unreachable;
    let refused = go(&a, None, terms(1)).await;
    tell(&a, refused, GateNews::Closed { hold: Duration::ZERO, because }).await;
    let probe = until("a probe goes", async || match a.begin(Some(&task), terms(2)).await {
        Ok(Begun::Go(clearance)) => Some(clearance),
        _ => None,
    })
    .await;
    assert!(probe.is_probe);
    let (begun, other) = (Instant::now(), key("other"));
    while begun.elapsed() < 2 * LEASE {
        a.renew(Some(&task), 2, LEASE).await.unwrap();
        assert!(matches!(b.begin(Some(&task), terms(3)).await, Ok(Begun::Leased(_))));
        assert!(matches!(b.begin(Some(&other), terms(4)).await, Ok(Begun::Closed { .. })));
    }
    // Its owner is gone. Nobody else can renew what it held.
    let is_probe = until("both are free", async || {
        b.renew(Some(&task), 3, LEASE).await.unwrap();
        match b.begin(Some(&task), terms(3)).await {
            Ok(Begun::Go(clearance)) => Some(clearance.is_probe),
            _ => None,
        }
    })
    .await;
    assert!(is_probe);
    a.renew(Some(&task), 2, LEASE).await.unwrap();
    let undecided = GateNews::Undecided { hold: Duration::ZERO };
    tell(&a, probe, undecided).await;
    assert!(matches!(a.begin(Some(&task), terms(5)).await, Ok(Begun::Leased(_))), "it was lost for good");
    assert!(matches!(a.begin(Some(&other), terms(5)).await, Ok(Begun::Closed { .. })));
    // Given back, it is another one's.
    tell(&b, Clearance { owner: 3, ..probe }, undecided).await;
    let next = until("the next probe goes", async || match a.begin(Some(&other), terms(5)).await {
        Ok(Begun::Go(clearance)) => Some(clearance),
        _ => None,
    })
    .await;
    assert!(next.is_probe);
}

#[tokio::test]
async fn a_late_writer_is_refused_and_an_end_absorbs() {
    let Some(redis) = RedisServer::start() else { return };
    let a = replica(&redis, AMPLE).await;
    let task = key("late");
    let early = go(&a, Some(&task), terms(1)).await;
    // The lease is lost, as after a restart of the server.
    let mut command = redis.command().unwrap();
    let leases: Vec<String> = redis::cmd("KEYS").arg("*lease*").query(&mut command).unwrap();
    assert_eq!(leases.len(), 1, "{leases:?}");
    redis::cmd("DEL").arg(&leases[0]).exec(&mut command).unwrap();
    let later = go(&a, Some(&task), terms(2)).await;
    assert!(matches!(land(&a, &task, later, Phase::Live, "later").await, Landed::Kept));
    let refused = land(&a, &task, early, Phase::Live, "early").await;
    assert!(matches!(&refused, Landed::Other(kept) if kept.snapshot.body == "later"), "{refused:?}");
    // An end is the end, however late it comes; after it nothing else does.
    assert!(matches!(land(&a, &task, early, Phase::Terminal, "end").await, Landed::Kept));
    let begun = a.begin(Some(&task), Terms { known: later.sequence, ..terms(3) }).await.unwrap();
    assert_eq!(body_of(&begun), "end");
    let latest = Clearance { sequence: u64::from(u32::MAX) << 20, ..early };
    let absorbed = land(&a, &task, latest, Phase::Live, "a ghost").await;
    assert!(matches!(&absorbed, Landed::Other(kept) if kept.snapshot.body == "end"), "{absorbed:?}");
}

#[tokio::test]
async fn what_was_begun_before_a_task_was_forgotten_is_not_kept() {
    let Some(redis) = RedisServer::start() else { return };
    let (a, b) = (replica(&redis, AMPLE).await, replica(&redis, AMPLE).await);
    let task = key("purged");
    let begun = Instant::now();
    let before = go(&a, Some(&task), terms(1)).await;
    b.forget(&task).await.unwrap();
    assert!(matches!(b.begin(Some(&task), terms(2)).await, Ok(Begun::Leased(_))), "one flight at a time");
    assert!(matches!(land(&a, &task, before, Phase::Terminal, "old").await, Landed::Outdated));
    let after = go(&b, Some(&task), terms(2)).await;
    assert!(
        matches!(a.read(&task).await, Ok(Kept::Forgotten { sequence, at }) if sequence > before.sequence && sequence < after.sequence && at >= begun && at <= Instant::now())
    );
    assert!(matches!(land(&b, &task, after, Phase::Live, "new").await, Landed::Kept));
    assert!(matches!(a.read(&task).await, Ok(Kept::State(kept)) if kept.snapshot.body == "new"));
}

#[tokio::test]
async fn a_closed_gate_is_closed_for_all_and_one_probe_opens_it() {
    let Some(redis) = RedisServer::start() else { return };
    let (a, b) = (replica(&redis, AMPLE).await, replica(&redis, AMPLE).await);
    let because = Failure::RateLimited { retry_after: Some(SECOND) };
    let refused = go(&a, None, terms(1)).await;
    let closed_at = Instant::now();
    tell(&a, refused, GateNews::Closed { hold: SECOND, because }).await;
    for tier in [&a, &b] {
        let begun = tier.begin(Some(&key("x")), terms(2)).await.unwrap();
        assert!(matches!(begun, Begun::Closed { because: told, .. } if told == because), "{begun:?}");
    }
    let probe = until("the gate lets a probe through", async || match b.begin(None, terms(3)).await {
        Ok(Begun::Go(clearance)) => Some(clearance),
        _ => None,
    })
    .await;
    assert!(probe.is_probe && closed_at.elapsed() >= SECOND);
    let begun = a.begin(None, terms(4)).await.unwrap();
    assert!(matches!(begun, Begun::Closed { .. }), "one probe alone: {begun:?}");
    // Another request's success does not open it.
    tell(&a, refused, GateNews::Opened).await;
    assert!(matches!(a.begin(None, terms(4)).await, Ok(Begun::Closed { .. })));
    tell(&b, probe, GateNews::Opened).await;
    let open = go(&a, None, terms(4)).await;
    assert!(!open.is_probe);
}

#[tokio::test]
async fn all_replicas_together_keep_to_one_budget_and_a_flush_gives_no_burst() {
    let Some(redis) = RedisServer::start() else { return };
    let rate = Pace { per_minute: 1200.0, burst: 10 };
    let (a, b) = (replica(&redis, rate).await, replica(&redis, rate).await);
    let mut sent: Vec<Instant> = Vec::new();
    let begun = Instant::now();
    let mut is_flushed = false;
    while begun.elapsed() < 3 * SECOND {
        if !is_flushed && begun.elapsed() > SECOND {
            is_flushed = true;
            redis::cmd("FLUSHALL").exec(&mut redis.command().unwrap()).unwrap();
        }
        for tier in [&a, &b] {
            if let Ok(Begun::Go(_)) = tier.begin(None, terms(fastrand::u64(..))).await {
                sent.push(Instant::now());
            }
        }
    }
    for (first, from) in sent.iter().enumerate() {
        for (last, to) in sent.iter().enumerate().skip(first) {
            let window = (*to - *from).as_secs_f64() + 0.1;
            let allowed = 10.0 + window * 20.0;
            assert!((last - first + 1) as f64 <= allowed, "{} in {window} s", last - first + 1);
        }
    }
    assert!(sent.len() > 40, "most of it is used: {}", sent.len());
}

#[tokio::test]
async fn replicas_take_turns_by_their_clients() {
    let Some(redis) = RedisServer::start() else { return };
    let rate = Pace { per_minute: 12_000.0, burst: 20 };
    let weights = [5, 500, 50];
    let mut asking = Vec::new();
    let end = Instant::now() + 4 * SECOND;
    for weight in weights {
        let tier = replica(&redis, rate).await;
        asking.push(tokio::spawn(async move {
            let mut count = 0_u32;
            while Instant::now() < end {
                match tier.begin(None, Terms { weight, ..terms(fastrand::u64(..)) }).await {
                    Ok(Begun::Go(_)) => count += 1,
                    Ok(Begun::NotBefore(at)) => tokio::time::sleep_until(at).await,
                    other => panic!("{other:?}"),
                }
            }
            count
        }));
    }
    let mut counts = Vec::new();
    for asking in asking {
        counts.push(asking.await.unwrap());
    }
    let all: u32 = counts.iter().sum();
    for (count, weight) in counts.iter().zip(weights) {
        let due = f64::from(all) * f64::from(weight) / 555.0;
        // Beside a fifth, the turns of the beginning, when not all have come, and those of the end.
        assert!((f64::from(*count) - due).abs() <= due / 5.0 + 5.0, "{weight}: {due} were due; {counts:?}");
    }
    assert!(counts[0] > 0 && counts[0] < counts[2] && counts[2] < counts[1], "{counts:?}");
    assert!(all > 500, "most of it is used: {counts:?}");
}

#[tokio::test]
async fn a_state_that_somebody_else_wrote_is_not_believed() {
    let Some(redis) = RedisServer::start() else { return };
    let (a, b) = (replica(&redis, AMPLE).await, replica(&redis, AMPLE).await);
    let (task, other) = (key("mine"), key("theirs"));
    let flight = go(&a, Some(&task), terms(1)).await;
    land(&a, &task, flight, Phase::Terminal, "true").await;
    let flight = go(&a, Some(&other), terms(2)).await;
    land(&a, &other, flight, Phase::Terminal, "another").await;
    let mut command = redis.command().unwrap();
    let names: Vec<String> = redis::cmd("KEYS").arg("*:task:*").query(&mut command).unwrap();
    let name = |id: &str| names.iter().find(|name| name.ends_with(id)).unwrap();
    let theirs: Vec<u8> = redis::cmd("HGET").arg(name("theirs")).arg("blob").query(&mut command).unwrap();
    for forged in [theirs, b"nonsense".to_vec(), Vec::from([0; 64])] {
        redis::cmd("HSET").arg(name("mine")).arg("blob").arg(forged).exec(&mut command).unwrap();
        let begun = b.begin(Some(&task), terms(fastrand::u64(..))).await.unwrap();
        assert!(matches!(begun, Begun::Go(_) | Begun::Leased(_)), "{begun:?}");
    }
    assert!(b.counters().unverified.get() >= 1);
    // Who has another key shares nothing.
    let stranger = replica_with(&redis, AMPLE, "sk-another-key-0123456789").await;
    assert!(matches!(stranger.read(&other).await, Ok(Kept::Nothing)));
}

#[tokio::test]
async fn hints_come_and_a_look_misses_none() {
    let Some(redis) = RedisServer::start() else { return };
    let (a, b) = (replica(&redis, AMPLE).await, replica(&redis, AMPLE).await);
    let listener = unheard(&redis, AMPLE, KEY);
    let heard = |path: &'static str| {
        let listener = &listener;
        async move {
            loop {
                let news: Vec<News> = listener.news().await;
                if let Some(item) = news.into_iter().find(|item| item.path.ends_with(path)) {
                    return item.sequence;
                }
            }
        }
    };
    let flight = go(&a, Some(&key("first")), terms(1)).await;
    land(&a, &key("first"), flight, Phase::Live, "1").await;
    assert_eq!(heard("first").await, flight.sequence);
    // Its subscription is cut, and what is told meanwhile it finds out by looking.
    let mut command = redis.command().unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").exec(&mut command).unwrap();
    let flight = go(&b, Some(&key("second")), terms(2)).await;
    land(&b, &key("second"), flight, Phase::Live, "2").await;
    assert_eq!(heard("second").await, flight.sequence);
    until("three replicas are seen", async || (listener.replicas_alive() == 3).then_some(())).await;
}

/// Publishes a hint until it is heard. What is heard before is in its order.
async fn hear(
    listener: &RedisTier,
    hint: &str,
    channel: &str,
    command: &mut redis::Connection,
    heard: &mut Vec<News>,
) {
    let path = hint.split(' ').next_back().unwrap();
    while !heard.iter().any(|item| item.path == path) {
        let calling = async {
            loop {
                redis::cmd("PUBLISH").arg(channel).arg(hint).exec(command).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = calling => {}
            news = listener.news() => heard.extend(news),
        }
    }
}

/// They had waited without a bound for whoever reads them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_that_nobody_reads_are_dropped_and_a_look_finds_what_they_told() {
    let Some(redis) = RedisServer::start() else { return };
    let teller = replica(&redis, AMPLE).await;
    let listener = unheard(&redis, AMPLE, KEY);
    let mut command = redis.command().unwrap();
    let channels: Vec<String> = redis::cmd("PUBSUB").arg("CHANNELS").query(&mut command).unwrap();
    // It listens once it has heard something. From then on nobody reads.
    let mut heard = Vec::new();
    hear(&listener, "1 /v1/tasks/first", &channels[0], &mut command, &mut heard).await;
    for number in 0..20_000 {
        let hint = format!("{number} /v1/tasks/flood{number}");
        redis::cmd("PUBLISH").arg(&channels[0]).arg(hint).exec(&mut command).unwrap();
    }
    let flight = go(&teller, Some(&key("told")), terms(1)).await;
    land(&teller, &key("told"), flight, Phase::Live, "1").await;
    hear(&listener, "1 /v1/tasks/last", &channels[0], &mut command, &mut heard).await;
    while !heard.iter().any(|item| item.path.ends_with("told") && item.sequence == flight.sequence) {
        heard.extend(listener.news().await);
    }
    let read = heard.iter().filter(|item| item.path.contains("flood")).count();
    assert!((1000..=5000).contains(&read), "{read} hints had waited");
}

#[tokio::test]
async fn without_an_answer_a_process_is_alone_and_comes_back_by_itself() {
    let Some(mut redis) = RedisServer::start() else { return };
    let tier = replica(&redis, AMPLE).await;
    redis.kill();
    until("the loss is noticed", async || {
        matches!(tier.begin(None, terms(1)).await, Err(Alone)).then_some(())
    })
    .await;
    until("it tells so", async || tier.trouble()).await;
    redis.run_again();
    until("it is back", async || tier.trouble().is_none().then_some(())).await;
    go(&tier, None, terms(2)).await;
    // Paused: no call takes longer than its time-out, and then none is made.
    redis.signal("STOP");
    until("it is alone again", async || {
        let begun = Instant::now();
        let answer = tier.begin(None, terms(3)).await;
        assert!(answer.is_err() && begun.elapsed() < 10 * SECOND);
        tier.trouble()
    })
    .await;
    redis.signal("CONT");
    until("it is back again", async || tier.trouble().is_none().then_some(())).await;
}
