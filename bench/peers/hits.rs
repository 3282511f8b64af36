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
    alone: Figures,
    /// While a neighbour fills the caches that the cores share.
    beside: Figures,
}

#[derive(Default)]
struct Figures {
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
        for has_neighbour in [false, true] {
            let neighbour = if has_neighbour { Some(stage.neighbour()?) } else { None };
            let name = if has_neighbour { "hits beside a neighbour" } else { "hits" };
            let name = format!("{name}, round {}", round + 1);
            let mut costs = Vec::new();
            for entry in &mut entries {
                let asked = origin.script.count().requests;
                costs.push((
                    entry.running.kind,
                    entry.measure(stage, args, &name, has_neighbour, &mut notes).await?,
                ));
                if origin.script.count().requests > asked {
                    notes.push_str(&format!(
                        "- **{name}, {}: not all were hits**\n",
                        entry.running.kind.name()
                    ));
                }
            }
            drop(neighbour);
            let of =
                |kind: Kind| costs.iter().find(|(of, _)| *of == kind).map_or(f64::NAN, |(_, cost)| *cost);
            for entry in &mut entries {
                let ratio = of(entry.running.kind) / of(Kind::Lookup);
                entry.figures(has_neighbour).ratio.add(ratio);
            }
        }
    }
    for Entry { running: Running { kind, .. }, alone, beside, .. } in &entries {
        table.put("CPU per cached hit, µs", *kind, alone.cpu.show(2));
        table.put("CPU per cached hit / that of axum + moka", *kind, alone.ratio.show(2));
        table.put("cached hits/s on one core", *kind, alone.rate.show(0));
        table.put("their p99, ms", *kind, alone.p99.show(2));
        table.put(
            "CPU per cached hit beside a neighbour that fills the caches, µs",
            *kind,
            beside.cpu.show(2),
        );
        table.put("the same / that of axum + moka", *kind, beside.ratio.show(2));
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
        Ok(Self { running, head, alone: Figures::default(), beside: Figures::default() })
    }

    fn figures(&mut self, has_neighbour: bool) -> &mut Figures {
        if has_neighbour { &mut self.beside } else { &mut self.alone }
    }

    /// Takes the figures of one round. Returns the CPU time of a hit, in microseconds.
    async fn measure(
        &mut self,
        stage: &Stage,
        args: &Args,
        round: &str,
        has_neighbour: bool,
        notes: &mut String,
    ) -> Result<f64, Failure> {
        let before = self.running.process.cpu();
        let load = self.load(stage, args.time(5, 1)).await?;
        let cpu = self.running.process.cpu().saturating_sub(before);
        let name = self.running.kind.name();
        progress(&format!("{round}, {name}: {load:?}, CPU {cpu:?}"));
        if let Some(trouble) = &load.trouble {
            notes.push_str(&format!("- **{round}, {name}: {trouble}**\n"));
        }
        let cost = cpu.as_secs_f64() * 1e6 / load.requests;
        let figures = self.figures(has_neighbour);
        figures.cpu.add(cost);
        figures.rate.add(load.per_second);
        figures.p99.add(load.p99_micros / 1e3);
        Ok(cost)
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
