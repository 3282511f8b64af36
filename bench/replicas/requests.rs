//! Owns the requests upstream of three replicas beside those of one process, and what they cost Redis.

use taskgate_bench::{Failure, Gateway};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::client::Watch;
use crate::cluster;
use crate::redis::Redis;
use crate::upstream::Upstream;

const TASKS: usize = 60;
const MEASURED: Duration = Duration::from_secs(20);

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!(
        "| demand | one process | three replicas | ratio | scripts a refresh | by kind | commands within |\n|---|--:|--:|--:|--:|---|--:|"
    );
    for (name, per_minute, burst) in [("met", "60000", "100"), ("twice the budget", "2250", "10")] {
        let settings = [
            ("TASKGATE_POLLING__FRESH_FOR", "1s"),
            ("TASKGATE_POLLING__MAX_INTERVAL", "1s"),
            ("TASKGATE_POLLING__LEARN", "false"),
            ("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", per_minute),
            ("TASKGATE_BUDGET__BURST", burst),
        ];
        let (address, upstream) = Upstream::start().await?;
        let alone = Gateway::start(address, &settings)?;
        let _watching = watch(&[alone.address; 3]);
        sleep(Duration::from_secs(3)).await;
        let before = upstream.count();
        sleep(MEASURED).await;
        let one = upstream.count() - before;
        drop(alone);
        let redis = Redis::start().await?;
        let (address, upstream) = Upstream::start().await?;
        let members = cluster::start(3, address, redis.address, &settings).await?;
        let addresses: Vec<_> = members.iter().map(|member| member.gateway.address).collect();
        let _watching = watch(&addresses);
        sleep(Duration::from_secs(3)).await;
        let (before, calls, commands) =
            (upstream.count(), cluster::calls(&members).await?, redis.commands().await?);
        sleep(MEASURED).await;
        let three = upstream.count() - before;
        let (calls_after, commands_after) = (cluster::calls(&members).await?, redis.commands().await?);
        let a_refresh = |count: u64| count as f64 / three as f64;
        let kinds: Vec<String> = calls_after
            .iter()
            .map(|(call, after)| {
                let before = calls.iter().find(|(known, _)| known == call).map_or(0, |(_, count)| *count);
                format!("{call} {:.2}", a_refresh(after - before))
            })
            .collect();
        println!(
            "| {name} | {one} | {three} | {:.3} | {:.2} | {} | {:.1} |",
            three as f64 / one as f64,
            a_refresh(commands_after.1 - commands.1),
            kinds.join(", "),
            a_refresh(commands_after.0 - commands.0),
        );
    }
    println!(
        "{TASKS} tasks, each watched three times, refreshed each second where the budget allows it; {} s.\n",
        MEASURED.as_secs()
    );
    Ok(())
}

/// Watches every task at each of these addresses, until it is dropped.
fn watch(addresses: &[std::net::SocketAddr]) -> JoinSet<Result<(), Failure>> {
    let mut watching = JoinSet::new();
    for number in 0..TASKS {
        for address in addresses.iter().copied() {
            watching.spawn(async move {
                let mut watch = Watch::open(address, &format!("w{number}"), "").await?;
                while watch.next().await?.is_some() {}
                Ok(())
            });
        }
    }
    watching
}
