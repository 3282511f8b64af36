//! Measures the cost of ill-behaved clients for other clients and for the gateway's memory (scorecard R12,
//! R13, R16, R17), that of a log that nobody reads (R19), and that of downloads.
//!
//! `cargo bench -p taskgate-bench --bench siege` runs the gateway as a process of its own, and the upstream and all clients in
//! this one. `-- readers`, `-- ids`, `-- greedy`, `-- logs` or `-- downloads` runs one part. It needs 10,000 open files: `ulimit -n 20000`.

mod downloads;
mod greedy;
mod ids;
mod logs;
mod readers;
mod upstream;

use taskgate_bench::Failure;

const PARTS: [&str; 5] = ["readers", "ids", "greedy", "logs", "downloads"];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    let is_named = |part: &str| words.iter().any(|word| word == part);
    let is_asked = |part: &str| is_named(part) || !PARTS.into_iter().any(is_named);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if is_asked("readers") {
        runtime.block_on(readers::run())?;
    }
    if is_asked("ids") {
        runtime.block_on(ids::run())?;
    }
    if is_asked("greedy") {
        runtime.block_on(greedy::run())?;
    }
    if is_asked("logs") {
        runtime.block_on(logs::run())?;
    }
    if is_asked("downloads") {
        runtime.block_on(downloads::run())?;
    }
    Ok(())
}
