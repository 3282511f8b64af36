//! Owns the part about misses: the cost of a request that goes through to the origin.

use tokio::time::{Duration, Instant, timeout};

use crate::Failure;
use crate::args::Args;
use crate::client::{Connection, Door};
use crate::contender::{Kind, Running, Setup};
use crate::figure::{Figure, part};
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;

const KINDS: [Kind; 6] =
    [Kind::Direct, Kind::Pass, Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish];
/// A rate limit that never delays a miss.
const PER_MINUTE: u32 = 10_000_000;
/// The number of requests in a row to one subject, before the next one has its turn.
const BLOCK: usize = 250;

#[derive(Default)]
struct Entry {
    p50: Figure,
    p99: Figure,
    added_p50: Figure,
    added_p99: Figure,
    /// The added time, as a multiple of that of the bare pass-through in the same round.
    ratio: Figure,
}

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let origin = Origin::start()?;
    let count = args.pick(5000, 1000);
    // Direct is an origin on the core of the contenders, and so as far from the client as they are.
    let contenders = stage.start_all(&KINDS, &origin, Setup::Budget(PER_MINUTE)).await?;
    let mut entries: Vec<(Kind, Entry)> =
        contenders.iter().map(|contender| (contender.kind, Entry::default())).collect();
    for round in 0..args.rounds {
        let mut asking = Vec::new();
        for Running { kind, door, .. } in &contenders {
            asking.push(Asking::open(*kind, *door).await?);
        }
        // In turns, so that other work of the machine affects all subjects alike.
        for block in 0..count / BLOCK {
            for asking in &mut asking {
                asking.ask(round, block).await?;
            }
            asking.rotate_left(1);
        }
        let mut times = Vec::new();
        for Asking { kind, took, .. } in &mut asking {
            // The first requests are warm-up.
            let took = took.split_at_mut(count / 20).1;
            let at = [0.5, 0.99].map(|share| part(took, share).unwrap_or(f64::NAN));
            progress(&format!(
                "misses, round {}, {}: p50 {:.0} µs, p99 {:.0} µs",
                round + 1,
                kind.name(),
                at[0],
                at[1]
            ));
            times.push((*kind, at));
        }
        let of = |kind: Kind| times.iter().find(|(of, _)| *of == kind).map_or([f64::NAN; 2], |(_, at)| *at);
        let (direct, pass) = (of(Kind::Direct), of(Kind::Pass));
        for (kind, [p50, p99]) in &times {
            let Some((_, entry)) = entries.iter_mut().find(|(of, _)| of == kind) else { continue };
            entry.p50.add(*p50);
            entry.p99.add(*p99);
            entry.added_p50.add(p50 - direct[0]);
            entry.added_p99.add(p99 - direct[1]);
            entry.ratio.add((p50 - direct[0]) / (pass[0] - direct[0]));
        }
    }
    for (kind, entry) in &entries {
        table.put("miss p50, µs", *kind, entry.p50.show(0));
        table.put("miss p99, µs", *kind, entry.p99.show(0));
        if *kind != Kind::Direct {
            table.put("added to direct, p50, µs", *kind, entry.added_p50.show(0));
            table.put("added to direct, p99, µs", *kind, entry.added_p99.show(0));
            table.put("added p50 / that of axum + reqwest", *kind, entry.ratio.show(2));
        }
    }
    Ok(())
}

/// One contender and the durations of its requests, in microseconds.
struct Asking {
    kind: Kind,
    connection: Connection,
    took: Vec<f64>,
}

impl Asking {
    async fn open(kind: Kind, door: Door) -> Result<Self, Failure> {
        Ok(Self { kind, connection: Connection::open(door).await?, took: Vec::new() })
    }

    /// Requests each id of a block once, one after another.
    async fn ask(&mut self, round: usize, block: usize) -> Result<(), Failure> {
        for number in block * BLOCK..(block + 1) * BLOCK {
            let path = format!("/v1/tasks/done-{round}-{number}");
            let begun = Instant::now();
            let answer = timeout(Duration::from_secs(15), self.connection.get(&path)).await??;
            self.took.push(begun.elapsed().as_secs_f64() * 1e6);
            if answer.status != 200 {
                return Err(format!("a miss through {}: {answer:?}", self.kind.name()).into());
            }
        }
        Ok(())
    }
}
