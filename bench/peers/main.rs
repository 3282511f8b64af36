//! Measures taskgate beside nginx, HAProxy, Varnish, nchan, Pushpin and bare frameworks.
//!
//! `bench/peers/run` fetches the programs and runs this; docs/performance.md describes the measurements.

mod args;
mod changes;
mod client;
mod contender;
mod contents;
mod control;
mod cores;
mod crowd;
mod events;
mod figure;
mod hits;
mod hubs;
mod memory;
mod misses;
mod origin;
mod outage;
mod page;
mod polling;
mod process;
mod publisher;
mod push;
mod script;
mod stage;
mod table;
mod waiters;
mod watchers;
mod wrk;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Part};
use crate::cores::Cores;
use crate::stage::Stage;
use crate::table::Table;

use taskgate_bench::Failure;

/// The limit of a run, of which a full one takes about half.
const LONGEST: Duration = Duration::from_secs(90 * 60);

fn main() -> Result<(), Failure> {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    // The controls and the direct origin are processes of this same program.
    if let Some(("role", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return control::play(rest);
    }
    let args = Args::parse(&words)?;
    let cores = Cores::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = tokio::time::timeout(LONGEST, measure(&args, cores)) => done?,
            // Started processes end when their owners are dropped.
            interrupted = interrupted() => interrupted,
        }
    })
}

#[expect(clippy::disallowed_methods, reason = "it is main that takes the signals")]
async fn interrupted() -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    Err("interrupted".into())
}

#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
async fn measure(args: &Args, cores: Cores) -> Result<(), Failure> {
    let stage = Stage::set(cores)?;
    let mut main = Table::default();
    let mut memory = Table::default();
    let mut misses = Table::default();
    let mut contents = Table::default();
    let mut push = Table::default();
    let mut notes = Vec::new();
    for part in &args.parts {
        stage::progress(&format!("{part:?}: {}", part.takes(args)));
        match part {
            Part::Hits => notes.push(hits::measure(&stage, args, &mut main).await?),
            Part::Waiters => waiters::measure(&stage, args, &mut main).await?,
            Part::Crowd => crowd::measure(&stage, args, &mut main).await?,
            Part::Outage => outage::measure(&stage, args, &mut main).await?,
            Part::Misses => misses::measure(&stage, args, &mut misses).await?,
            Part::Memory => memory::measure(&stage, args, &mut memory).await?,
            Part::Contents => contents::measure(&stage, args, &mut contents).await?,
            Part::Push => notes.push(push::measure(&stage, args, &mut push).await?),
        }
    }
    let tables = [main, misses, memory, contents, push];
    let shown: Vec<String> = tables.iter().filter(|table| !table.is_empty()).map(Table::to_string).collect();
    let text = format!("{}\n{}{}", shown.join("\n"), notes.concat(), stage.told(args));
    println!("{text}");
    if args.write {
        page::write(&text, &tables)?;
    }
    Ok(())
}
