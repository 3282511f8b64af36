//! Owns the processor time of a cached hit with Redis and without.

use taskgate_bench::{Failure, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client;
use crate::cluster;
use crate::redis::Redis;
use crate::upstream::Upstream;

const HITS: u64 = 200_000;
const ROUNDS: usize = 7;
/// Requests that are sent at once.
const BATCH: u64 = 50;
const HIT: &str = "GET /v1/tasks/done HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    let redis = Redis::start().await?;
    let (address, _upstream) = Upstream::start().await?;
    let alone = Gateway::start(address, &[])?;
    let members = cluster::start(1, address, redis.address, &[]).await?;
    let member = members.first().ok_or("no member")?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(round(&alone).await?);
        with.push(round(&member.gateway).await?);
    }
    let [without, with] = [without, with].map(|mut micros| {
        micros.sort_by(f64::total_cmp);
        (micros[ROUNDS / 2], micros[0], micros[ROUNDS - 1])
    });
    println!("| | CPU a hit, median | least | most |\n|---|--:|--:|--:|");
    for (name, (median, least, most)) in [("without Redis", without), ("with Redis", with)] {
        println!("| {name} | {median:.2} µs | {least:.2} µs | {most:.2} µs |");
    }
    println!(
        "{ROUNDS} rounds of {HITS} hits, in turn, {BATCH} requests at once on one connection: {:+.1} %.\n",
        (with.0 / without.0 - 1.0) * 100.0
    );
    Ok(())
}

/// Microseconds of processor time a hit.
async fn round(gateway: &Gateway) -> Result<f64, Failure> {
    let (status, _) = client::ask(gateway.address, "/v1/tasks/done").await?;
    if status != 200 {
        return Err("no hit".into());
    }
    let mut stream = TcpStream::connect(gateway.address).await?;
    let batch = HIT.repeat(usize::try_from(BATCH)?);
    let before = gateway.cpu_ticks()?;
    let mut bytes = vec![0; 64 << 10];
    for _ in 0..HITS / BATCH {
        stream.write_all(batch.as_bytes()).await?;
        let mut ends = 0;
        while ends < BATCH {
            let length = stream.read(&mut bytes).await?;
            if length == 0 {
                return Err("closed".into());
            }
            // The body has one object.
            ends += bytes[..length].iter().map(|byte| u64::from(*byte == b'}')).sum::<u64>();
        }
    }
    Ok((gateway.cpu_ticks()? - before) as f64 * 10_000.0 / HITS as f64)
}
