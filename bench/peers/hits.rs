//! Owns the part about the most frequent request: a finished task, answered from memory.

use crate::args::Args;
use crate::client::{Answer, Connection};
use crate::contender::{Kind, Running, Setup};
use crate::figure::Figure;
use crate::script::{self, BODY};
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;
use crate::{Failure, wrk};

const PATH: &str = "/v1/tasks/done-0";
const PEERS: [Kind; 5] = [Kind::Nginx, Kind::Haproxy, Kind::Varnish, Kind::Lookup, Kind::Ceiling];

/// One contender and its figures.
struct Entry {
    running: Running,
    head: Answer,
    cpu: Figure,
    /// The cost of a hit, as a multiple of its cost with bare axum and moka in the same round.
    ratio: Figure,
    rate: Figure,
    p99: Figure,
}

/// Fills the table, and returns the notes below it.
pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<String, Failure> {
    let origin = Origin::start()?;
    let taskgate = stage.start(Kind::Taskgate, &origin, Setup::Ordinary).await?.ok_or("no taskgate")?;
    let taskgate = Entry::prime(taskgate, &origin).await?;
    stage.copy(&taskgate.head)?;
    let mut entries = vec![taskgate];
    for running in stage.start_all(&PEERS, &origin, Setup::Ordinary).await? {
        entries.push(Entry::prime(running, &origin).await?);
    }
    let mut notes = heads(&entries);
    // Warm-up: work that is done only once is not measured.
    for entry in entries.iter().filter(|_| !args.quick) {
        entry.load(stage, args.time(1, 1)).await?;
    }
    for round in 0..args.rounds {
        // Each round begins with another contender.
        entries.rotate_left(usize::from(round > 0));
        let mut costs = Vec::new();
        for entry in &mut entries {
            let asked = origin.script.count().requests;
            let before = entry.running.process.cpu();
            let load = entry.load(stage, args.time(5, 1)).await?;
            let cpu = entry.running.process.cpu().saturating_sub(before);
            let cost = cpu.as_secs_f64() * 1e6 / load.requests;
            entry.cpu.add(cost);
            costs.push((entry.running.kind, cost));
            entry.rate.add(load.per_second);
            entry.p99.add(load.p99_micros / 1e3);
            let name = entry.running.kind.name();
            progress(&format!("hits, round {}, {name}: {load:?}, CPU {cpu:?}", round + 1));
            if let Some(trouble) = load.trouble {
                notes.push_str(&format!("- **Hits of {name}, round {}: {trouble}**\n", round + 1));
            }
            if origin.script.count().requests > asked {
                notes.push_str(&format!(
                    "- **Hits of {name}, round {}: not all of them were hits**\n",
                    round + 1
                ));
            }
        }
        let of = |kind: Kind| costs.iter().find(|(of, _)| *of == kind).map(|(_, cost)| *cost);
        let lookup = of(Kind::Lookup).unwrap_or(f64::NAN);
        for entry in &mut entries {
            entry.ratio.add(of(entry.running.kind).unwrap_or(f64::NAN) / lookup);
        }
    }
    for entry in &entries {
        let kind = entry.running.kind;
        table.put("CPU per cached hit, µs", kind, entry.cpu.show(2));
        table.put("CPU per cached hit / that of axum + moka", kind, entry.ratio.show(2));
        table.put("cached hits/s on one core", kind, entry.rate.show(0));
        table.put("their p99, ms", kind, entry.p99.show(2));
    }
    Ok(notes)
}

impl Entry {
    /// Brings the task into the subject's cache, and checks that it is answered from there unchanged.
    async fn prime(running: Running, origin: &Origin) -> Result<Self, Failure> {
        let mut connection = Connection::open(running.door).await?;
        connection.get(PATH).await?;
        let asked = origin.script.count();
        let head = connection.get(PATH).await?;
        let name = running.kind.name();
        if head.status != 200 || head.body != script::body("done-0", "completed", 100, 0).as_bytes() {
            return Err(format!("{name} answers other bytes: {head:?}").into());
        }
        let count = origin.script.count();
        if count.requests > asked.requests {
            return Err(format!("{name} does not keep a finished task").into());
        }
        if count.strangers > 0 {
            return Err(format!("{name} asks the origin without the key").into());
        }
        Ok(Self {
            running,
            head,
            cpu: Figure::default(),
            ratio: Figure::default(),
            rate: Figure::default(),
            p99: Figure::default(),
        })
    }

    async fn load(&self, stage: &Stage, time: std::time::Duration) -> Result<wrk::Load, Failure> {
        let directory = &self.running.directory.join("wrk");
        std::fs::create_dir_all(directory)?;
        wrk::run(self.running.door, PATH, time, directory, stage.cores.load).await
    }
}

/// The differences between the heads of the answers; taskgate's is shown first.
fn heads(entries: &[Entry]) -> String {
    let names = |entry: &Entry| -> Vec<String> {
        entry.head.headers().map(|(name, _)| name.to_ascii_lowercase()).collect()
    };
    let Some((taskgate, others)) = entries.split_first() else { return String::new() };
    let own = names(taskgate);
    let mut text = format!(
        "- Heads of a hit, all with the same {BODY} bytes behind them: taskgate {} bytes ({})",
        taskgate.head.head.len(),
        own.join(", ")
    );
    for other in others {
        let theirs = names(other);
        let lacks: Vec<&str> = own.iter().filter(|name| !theirs.contains(name)).map(String::as_str).collect();
        let adds: Vec<&str> = theirs.iter().filter(|name| !own.contains(name)).map(String::as_str).collect();
        let list = |word: &str, names: &[&str]| match names {
            [] => String::new(),
            names => format!(", {word} {}", names.join(", ")),
        };
        let (length, lacks, adds) = (other.head.head.len(), list("without", &lacks), list("with", &adds));
        text.push_str(&format!("; {} {length}{lacks}{adds}", other.running.kind.name()));
    }
    text + ".\n"
}
