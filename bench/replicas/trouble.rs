//! Owns what clients wait while Redis is in trouble.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use taskgate_bench::Failure;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use crate::client;
use crate::cluster::{self, Member, part};
use crate::redis::Redis;
use crate::upstream::Upstream;
use crate::wire::Fate;

const MEASURED: Duration = Duration::from_secs(8);

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!(
        "| Redis | hits | p99 | misses | p50 | p99 | slowest | errors | back after |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    let mut redis = Redis::start().await?;
    let (address, _upstream) = Upstream::start().await?;
    let members = cluster::start(3, address, redis.address, &[]).await?;
    let ids = Arc::<AtomicUsize>::default();
    println!("{}", row("well", &members, &ids).await?);
    redis.signal("STOP")?;
    let paused = row("paused (SIGSTOP)", &members, &ids).await?;
    redis.signal("CONT")?;
    println!("{paused} {:.1} s |", back(&members).await?);
    for (name, fate) in [
        ("nothing arrives", Fate::Vanish),
        ("500 ms late, each way", Fate::Late),
        ("breaks in mid-answer", Fate::Break),
    ] {
        cluster::all(&members, fate);
        let row = row(name, &members, &ids).await?;
        cluster::all(&members, Fate::Pass);
        println!("{row} {:.1} s |", back(&members).await?);
    }
    let (row, restarted) =
        tokio::join!(row("killed, back after 5 s", &members, &ids), redis.restart(Duration::from_secs(5)));
    restarted?;
    println!("{} {:.1} s |", row?, back(&members).await?);
    println!(
        "Over three replicas, {} s each, from the beginning of the trouble on. A miss is a task that nobody has asked for; \"back after\" is until all replicas share again.\n",
        MEASURED.as_secs()
    );
    Ok(())
}

async fn back(members: &[Member]) -> Result<f64, Failure> {
    let begun = Instant::now();
    for member in members {
        cluster::shares(&member.gateway, true).await?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn row(name: &str, members: &[Member], ids: &Arc<AtomicUsize>) -> Result<String, Failure> {
    let end = Instant::now() + MEASURED;
    let mut clients = JoinSet::new();
    for number in 0..24_usize {
        let (address, ids) = (members[number % 3].gateway.address, Arc::clone(ids));
        clients.spawn(async move { (number < 12, poll(address, number < 12, end, &ids).await) });
    }
    let (mut hits, mut misses, mut errors) = (Vec::new(), Vec::new(), 0);
    while let Some(client) = clients.join_next().await {
        let (is_hit, (times, failed)) = client?;
        if is_hit { &mut hits } else { &mut misses }.extend(times);
        errors += failed;
    }
    let last = if name == "well" { " – |" } else { "" };
    Ok(format!(
        "| {name} | {} | {:.2} ms | {} | {:.2} ms | {:.1} ms | {:.1} ms | {errors} |{last}",
        hits.len(),
        part(&mut hits, 99),
        misses.len(),
        part(&mut misses, 50),
        part(&mut misses, 99),
        part(&mut misses, 100),
    ))
}

async fn poll(address: SocketAddr, is_hit: bool, end: Instant, ids: &AtomicUsize) -> (Vec<Duration>, usize) {
    let (mut times, mut errors) = (Vec::new(), 0);
    while Instant::now() < end {
        let path = if is_hit {
            "/v1/tasks/done".to_owned()
        } else {
            format!("/v1/tasks/m{}", ids.fetch_add(1, Ordering::Relaxed))
        };
        let begun = Instant::now();
        match client::ask(address, &path).await {
            Ok((200, _)) => times.push(begun.elapsed()),
            _ => errors += 1,
        }
        sleep(Duration::from_millis(20)).await;
    }
    (times, errors)
}
