//! Measures three gateway processes that share a redis-server (scorecard P9, R15).
//!
//! `cargo bench -p taskgate-bench --bench replicas` prints all figures but the chaos; `-- ends`, `-- requests`, `-- trouble`
//! or `-- hits` prints one part. `-- chaos [SECONDS] [SEED]` kills, pauses, flushes, delays and cuts at random, for 600 s
//! unless told, and counts what clients notice. It needs redis-server or valkey-server (`.ci/install tests`).

mod chaos;
mod client;
mod cluster;
mod ends;
mod hits;
mod redis;
mod requests;
mod trouble;
mod upstream;
#[path = "../../tests/it/replicas/wire.rs"]
#[expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "it is a test's")]
mod wire;

use taskgate_bench::Failure;

const PARTS: [&str; 5] = ["ends", "requests", "trouble", "hits", "chaos"];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    let is_named = |part: &str| words.iter().any(|word| word == part);
    let is_asked = |part: &str| is_named(part) || !PARTS.into_iter().any(is_named);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if is_asked("ends") {
        runtime.block_on(ends::run())?;
    }
    if is_asked("requests") {
        runtime.block_on(requests::run())?;
    }
    if is_asked("trouble") {
        runtime.block_on(trouble::run())?;
    }
    if is_asked("hits") {
        runtime.block_on(hits::run())?;
    }
    if is_named("chaos") {
        let mut numbers = words.iter().filter_map(|word| word.parse::<u64>().ok());
        let seconds = numbers.next().unwrap_or(600);
        let seed = numbers.next().unwrap_or_else(|| fastrand::u64(..1_000_000));
        runtime.block_on(chaos::run(seconds, seed))?;
    }
    Ok(())
}
