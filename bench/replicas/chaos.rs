//! Owns the chaos: gateways and Redis are killed, paused, flushed, delayed and cut at random, and clients count.
//!
//! A client stands behind a balancer: where a replica refuses its connection, or ends it before the answer is whole, it
//! asks the next one at once. Everything else that is not the asked-for answer is an error.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use taskgate_bench::Failure;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::client::{self, Watch};
use crate::cluster::{self, Member, Settings};
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::wire::Fate;

/// The budget.
const PER_SECOND: f64 = 60.0;
const BURST: f64 = 12.0;
const SETTINGS: Settings<'static> = &[
    ("TASKGATE_POLLING__FRESH_FOR", "500ms"),
    ("TASKGATE_POLLING__MAX_INTERVAL", "1s"),
    ("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "4500"),
    ("TASKGATE_BUDGET__BURST", "12"),
];
/// The time after which an EventSource reconnects.
const RECONNECT: Duration = Duration::from_secs(3);
const POLLERS: usize = 24;
const WATCHERS: usize = 30;

#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    watched: AtomicUsize,
    ends: AtomicUsize,
    /// Ends that were told again to a client that resumed elsewhere: it knows them by their id.
    again: AtomicUsize,
    failovers: AtomicUsize,
    errors: AtomicUsize,
    is_over: AtomicBool,
}

impl Counts {
    #[expect(clippy::print_stdout, reason = "the report is what it is for")]
    fn error(&self, what: &str) {
        if self.errors.fetch_add(1, Ordering::Relaxed) < 20 {
            println!("client error: {what}");
        }
    }
}

/// The replicas as a balancer sees them.
type Replicas = [SocketAddr; 3];

#[expect(clippy::print_stdout, reason = "the report is what it is for")]
pub async fn run(seconds: u64, seed: u64) -> Result<(), Failure> {
    println!("chaos: {seconds} s, seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut redis = Redis::start().await?;
    let (address, upstream) = Upstream::start().await?;
    let mut members = cluster::start(3, address, redis.address, SETTINGS).await?;
    let replicas = [0, 1, 2].map(|number| members[number].gateway.address);
    let counts = Arc::<Counts>::default();
    let mut clients = JoinSet::new();
    for number in 0..POLLERS {
        clients.spawn(poll(replicas, number, Arc::clone(&counts)));
    }
    for number in 0..WATCHERS {
        let (upstream, counts) = (Arc::clone(&upstream), Arc::clone(&counts));
        clients.spawn(watch(
            replicas,
            number,
            fastrand::Rng::with_seed(seed + number as u64),
            upstream,
            counts,
        ));
    }
    let begun = Instant::now();
    let mut events: Vec<(&str, usize)> = Vec::new();
    let mut restarts = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        sleep(Duration::from_millis(random.u64(500..4000))).await;
        let name = disturb(&mut random, &mut redis, &mut members, address, &mut restarts).await?;
        match events.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => events.push((name, 1)),
        }
    }
    for member in &members {
        cluster::shares(&member.gateway, true).await?;
    }
    counts.is_over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client?;
    }
    let events: Vec<String> = events.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    println!("{}", events.join(", "));
    println!(
        "{} polls, {} ends told to {} watchers, {} of them again after a resume elsewhere, {} failovers of clients, {} client errors",
        of(&counts.polls),
        of(&counts.ends),
        of(&counts.watched),
        of(&counts.again),
        of(&counts.failovers),
        of(&counts.errors),
    );
    for (window, most, budget, over) in budget(&upstream.asked(), &restarts) {
        println!(
            "at most {most} requests upstream in any {window} s (budget {budget:.0}, local parts as much again); windows over both: {over}"
        );
    }
    println!(
        "{} requests upstream; the budget of all the time: {:.0}",
        upstream.count(),
        PER_SECOND * begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// One disturbance, whole. Those of the way to Redis last for a while and end.
async fn disturb(
    random: &mut fastrand::Rng,
    redis: &mut Redis,
    members: &mut [Member],
    upstream: SocketAddr,
    restarts: &mut Vec<Instant>,
) -> Result<&'static str, Failure> {
    let while_it_lasts = Duration::from_millis(random.u64(200..5000));
    let chosen = random.usize(..members.len());
    Ok(match random.u32(..8) {
        0 | 1 => {
            let listen = members[chosen].gateway.address.to_string();
            let settings = [SETTINGS, &[("TASKGATE_SERVER__LISTEN", listen.as_str())]].concat();
            let Member { gateway, wire } = &mut members[chosen];
            gateway.kill()?;
            sleep(while_it_lasts / 2).await;
            *gateway = cluster::member(upstream, wire, &settings)?;
            restarts.push(Instant::now());
            "kill -9 of a gateway"
        }
        2 => {
            redis.restart(while_it_lasts).await?;
            "kill -9 of Redis"
        }
        3 => {
            redis.signal("STOP")?;
            sleep(while_it_lasts).await;
            redis.signal("CONT")?;
            "SIGSTOP of Redis"
        }
        4 => {
            redis.command("FLUSHALL").await?;
            "FLUSHALL"
        }
        5..=6 => {
            let fate = *random.choice(&[Fate::Vanish, Fate::Late, Fate::Break]).unwrap_or(&Fate::Break);
            members[chosen].wire.becomes(fate);
            sleep(while_it_lasts).await;
            members[chosen].wire.becomes(Fate::Pass);
            match fate {
                Fate::Vanish => "one gateway's way to Redis swallows all",
                Fate::Late => "one gateway's way to Redis is 500 ms late",
                _ => "one gateway's way to Redis breaks in mid-answer",
            }
        }
        _ => {
            cluster::all(members, Fate::Unsubscribe);
            sleep(while_it_lasts).await;
            cluster::all(members, Fate::Pass);
            "pub/sub cut"
        }
    })
}

async fn poll(replicas: Replicas, number: usize, counts: Arc<Counts>) {
    while !counts.is_over.load(Ordering::Relaxed) {
        let id = if number.is_multiple_of(4) { format!("done{number}") } else { format!("p{}", number % 8) };
        let path = format!("/v1/tasks/{id}");
        let polling = async {
            for turn in number.. {
                match client::ask(replicas[turn % 3], &path).await {
                    Ok((200, _)) => return,
                    Ok((status, body)) => return counts.error(&format!("{status} {body}")),
                    Err(_) => {
                        counts.failovers.fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        };
        if timeout(Duration::from_secs(30), polling).await.is_err() {
            counts.error("no answer within 30 s");
        }
        counts.polls.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(100)).await;
    }
}

/// Watches one task after the other to its end, at one replica after the other. Three watchers share a task.
async fn watch(
    replicas: Replicas,
    number: usize,
    mut random: fastrand::Rng,
    upstream: Arc<Upstream>,
    counts: Arc<Counts>,
) {
    let mut round = 0;
    while !counts.is_over.load(Ordering::Relaxed) {
        round += 1;
        let id = format!("w{}-{round}", number / 3);
        let life = Duration::from_millis(random.u64(2000..15_000));
        let watching = watch_to_the_end(replicas, number, &id, &counts);
        let ending = async {
            sleep(life).await;
            upstream.end(&id);
        };
        let (watched, ()) = tokio::join!(timeout(Duration::from_secs(60), watching), ending);
        match watched {
            Ok(1) => {
                counts.ends.fetch_add(1, Ordering::Relaxed);
            }
            Ok(times) => counts.error(&format!("the end of {id} was told {times} times")),
            Err(_) => counts.error(&format!("the end of {id} was not told")),
        }
        counts.watched.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of times that the end was told. A last attempt to resume has to be told that there is nothing more.
async fn watch_to_the_end(replicas: Replicas, number: usize, id: &str, counts: &Counts) -> usize {
    let (mut last_id, mut ends) = (String::new(), 0);
    for turn in number.. {
        let Ok(mut watch) = Watch::open(replicas[turn % 3], id, &last_id).await else {
            counts.failovers.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        match watch.status {
            200 => {}
            204 => return ends,
            other => counts.error(&format!("{other} for a stream")),
        }
        while let Ok(Some(event)) = watch.next().await {
            match event.name.as_str() {
                "" if event.data.contains("completed") && event.id == last_id => {
                    counts.again.fetch_add(1, Ordering::Relaxed);
                }
                "" => {
                    ends += usize::from(event.data.contains("completed"));
                    last_id = event.id;
                }
                "estimate" => {}
                other => counts.error(&format!("{other}: {}", event.data)),
            }
        }
        if ends == 0 {
            counts.failovers.fetch_add(1, Ordering::Relaxed);
        } else {
            sleep(RECONNECT).await;
        }
    }
    ends
}

/// For windows of each length: the most requests, the budget, and how many had more than the budget and the local parts,
/// which are a whole one together, and a third of a burst for each gateway that started with a part of its own.
fn budget(asked: &[Instant], restarts: &[Instant]) -> Vec<(u64, usize, f64, usize)> {
    [1, 10, 60]
        .into_iter()
        .map(|window| {
            let length = Duration::from_secs(window);
            let budget = BURST + PER_SECOND * window as f64;
            let (mut most, mut over, mut last) = (0, 0, 0);
            for (first, from) in asked.iter().enumerate() {
                while asked.get(last).is_some_and(|at| *at < *from + length) {
                    last += 1;
                }
                let started =
                    restarts.iter().filter(|at| **at + length > *from && **at < *from + length).count();
                most = most.max(last - first);
                let allowed = 2.0 * budget + started as f64 * BURST / 3.0;
                over += usize::from((last - first) as f64 > allowed);
            }
            (window, most, budget, over)
        })
        .collect()
}
