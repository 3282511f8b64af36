//! Owns the time from the upstream's end to watchers on all replicas.

use std::sync::Arc;

use taskgate_bench::Failure;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use crate::client::Watch;
use crate::cluster::{self, part};
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::wire::Fate;

const TASKS: usize = 240;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!("| hints | ends | watchers | told once | p50 | p99 | slowest |\n|---|--:|--:|--:|--:|--:|--:|");
    for (name, fate) in [("by pub/sub", Fate::Pass), ("cut", Fate::Unsubscribe)] {
        println!("{}", row(name, fate).await?);
    }
    println!(
        "From the upstream's first answer that tells an end to the event at the last of three watchers, one on each replica.\n"
    );
    Ok(())
}

async fn row(name: &str, fate: Fate) -> Result<String, Failure> {
    let redis = Redis::start().await?;
    let (address, upstream) = Upstream::start().await?;
    let settings = [("TASKGATE_POLLING__FRESH_FOR", "500ms"), ("TASKGATE_POLLING__MAX_INTERVAL", "500ms")];
    let members = cluster::start(3, address, redis.address, &settings).await?;
    cluster::all(&members, fate);
    let mut watching = JoinSet::new();
    for number in 0..TASKS {
        for member in &members {
            let (address, id) = (member.gateway.address, format!("t{number}"));
            watching.spawn(async move {
                let mut watch = Watch::open(address, &id, "").await?;
                let mut ends = Vec::new();
                while let Some(event) = watch.next().await? {
                    if event.data.contains("completed") {
                        ends.push(Instant::now());
                    }
                }
                Ok::<_, Failure>((number, ends))
            });
        }
    }
    sleep(Duration::from_secs(2)).await;
    let ending = Arc::clone(&upstream);
    let end_all = async {
        for number in 0..TASKS {
            ending.end(&format!("t{number}"));
            sleep(Duration::from_millis(50)).await;
        }
    };
    let gather = async {
        let mut last = vec![None::<Instant>; TASKS];
        let (mut watchers, mut once) = (0, 0);
        while let Some(watched) = watching.join_next().await {
            let (number, ends) = watched??;
            watchers += 1;
            once += usize::from(ends.len() == 1);
            last[number] = last[number].max(ends.first().copied());
        }
        Ok::<_, Failure>((last, watchers, once))
    };
    let ((), gathered) = tokio::join!(end_all, gather);
    let (last, watchers, once) = gathered?;
    let mut delays: Vec<Duration> = last
        .iter()
        .enumerate()
        .filter_map(|(number, at)| {
            Some((*at)?.saturating_duration_since(upstream.told(&format!("t{number}"))?))
        })
        .collect();
    let (p50, p99, most) = (part(&mut delays, 50), part(&mut delays, 99), part(&mut delays, 100));
    Ok(format!(
        "| {name} | {} | {watchers} | {once} | {p50:.1} ms | {p99:.1} ms | {most:.1} ms |",
        delays.len()
    ))
}
