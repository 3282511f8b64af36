//! R12: requests for a million new ids, of which every second one has a task, while clients poll a hundred
//! finished tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use taskgate_bench::Gateway;

use crate::{Failure, upstream};

const IDS: u64 = 1_000_000;
const HOT: u64 = 100;
const CLIENTS: u64 = 16;
const MAX_BYTES: f64 = 64.0;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    let (address, asked) = upstream::start().await?;
    let gateway = Gateway::start(address, &[("TASKGATE_CACHE__MAX_BYTES", "64MiB")])?;
    let hot: String = (0..HOT).map(|number| format!("&id=h{number}")).collect();
    let mut stream = TcpStream::connect(gateway.address).await?;
    ask(&mut stream, &hot).await?;
    let before = gateway.rss_kib()? as f64 / 1024.0;
    let start = Instant::now();
    let (answered, hits) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut crowd = JoinSet::new();
    for _ in 0..CLIENTS {
        crowd.spawn(strangers(gateway.address, IDS / CLIENTS / 100, Arc::clone(&answered)));
    }
    let mut most = before;
    while !crowd.is_empty() {
        while let Some(ended) = crowd.try_join_next() {
            ended??;
        }
        let body = ask(&mut stream, &hot).await?;
        hits.fetch_add(count(&body, br#""completed""#), Ordering::Relaxed);
        most = most.max(gateway.rss_kib()? as f64 / 1024.0);
        sleep(Duration::from_millis(100)).await;
    }
    let limit = before + MAX_BYTES * 1.2;
    println!(
        "| random ids | answered | upstream requests for them | time | hot ids | answers about them | upstream requests for them | RSS before | highest RSS | limit: before + 1.2 × max_bytes (64 MiB) |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    println!(
        "| {IDS} | {} | {} | {:.0} s | {HOT} | {} | {} | {before:.1} MiB | {most:.1} MiB | {limit:.1} MiB |\n",
        answered.load(Ordering::Relaxed),
        asked.random.load(Ordering::Relaxed),
        start.elapsed().as_secs_f64(),
        hits.load(Ordering::Relaxed),
        asked.hot.load(Ordering::Relaxed),
    );
    Ok(())
}

/// Requests lists of a hundred new ids each; half of the ids have a task.
async fn strangers(address: SocketAddr, lists: u64, answered: Arc<AtomicU64>) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address).await?;
    for _ in 0..lists {
        let id =
            |number| format!("&id={}{:032x}", if number % 2 == 0 { 'm' } else { 'l' }, fastrand::u128(..));
        let body = ask(&mut stream, &(0..100).map(id).collect::<String>()).await?;
        let known = count(&body, br#""code":200"#) + count(&body, br#""code":404"#);
        answered.fetch_add(known, Ordering::Relaxed);
    }
    Ok(())
}

/// Requests one list over an open connection.
async fn ask(stream: &mut TcpStream, ids: &str) -> Result<Vec<u8>, Failure> {
    stream.write_all(format!("GET /v1/tasks?{ids} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    let mut seen = Vec::with_capacity(64 * 1024);
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err("the gateway closed the connection".into());
        }
        seen.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if seen.ends_with(b"]}") {
            return Ok(seen);
        }
    }
}

fn count(text: &[u8], word: &[u8]) -> u64 {
    text.windows(word.len()).filter(|window| *window == word).count() as u64
}
