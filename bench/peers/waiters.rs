//! Owns the part in which many clients wait for one answer: the delay until each of them has it.

use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use crate::Failure;
use crate::args::Args;
use crate::client::{Connection, Door};
use crate::contender::{Kind, Setup};
use crate::figure::{Figure, part};
use crate::script::{Mood, wall_micros};
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;

const KINDS: [Kind; 7] =
    [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish, Kind::Ceiling, Kind::Pass, Kind::Direct];

/// The number of flights for each subject in a round, taken in turns, of which the median counts: a flight
/// takes milliseconds, so other work of the machine would fall on one flight alone.
const TURNS: usize = 3;

/// Milliseconds from the origin's answer to those of the waiters.
#[derive(Debug, Default)]
struct Wake {
    first: f64,
    median: f64,
    last: f64,
    errors: usize,
    /// Requests that reached the origin.
    upstream: u64,
}

#[derive(Default)]
struct Entry {
    first: Figure,
    median: Figure,
    last: Figure,
    /// The delay of the last waiter, as a multiple of that with direct requests in the same round.
    to_direct: Figure,
    /// The same, as a multiple of that with bare hyper, which sends the same head.
    to_hyper: Figure,
    upstream: Figure,
    errors: usize,
}

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let origin = Origin::start()?;
    // Bare hyper copies an answer of taskgate.
    let taskgate = stage.start(Kind::Taskgate, &origin, Setup::Together).await?.ok_or("no taskgate")?;
    stage.copy(&Connection::open(taskgate.door).await?.get("/v1/tasks/done-0").await?)?;
    let mut contenders = vec![taskgate];
    contenders.extend(stage.start_all(&KINDS[1..], &origin, Setup::Together).await?);
    for count in [500, 2000] {
        let mut entries: Vec<(Kind, Entry)> =
            KINDS.into_iter().map(|kind| (kind, Entry::default())).collect();
        for round in 0..args.rounds {
            contenders.rotate_left(usize::from(round > 0));
            let mut wakes: Vec<(Kind, Vec<Wake>)> =
                contenders.iter().map(|contender| (contender.kind, Vec::new())).collect();
            for turn in 0..TURNS {
                for (contender, (_, wakes)) in contenders.iter().zip(&mut wakes) {
                    origin.script.begin(Mood::Willing, None);
                    // nginx' waiters look every 500 ms, so the delays spread evenly between two looks.
                    let delay = args.pick(1000, 700) + 500 * (round * TURNS + turn) / (args.rounds * TURNS);
                    let path = format!("/v1/tasks/slow-{delay}-{count}-{round}-{turn}");
                    let mut wake = flight(contender.door, count, &path).await?;
                    wake.upstream = origin.script.count().requests;
                    progress(&format!("{count} waiters, {}: {wake:?}", contender.kind.name()));
                    wakes.push(wake);
                }
            }
            let mut last = Vec::new();
            for (kind, mut wakes) in wakes {
                let Some((_, entry)) = entries.iter_mut().find(|(of, _)| *of == kind) else { continue };
                entry.errors += wakes.iter().map(|wake| wake.errors).sum::<usize>();
                wakes.sort_by(|one, two| one.last.total_cmp(&two.last));
                let Some(wake) = wakes.get(TURNS / 2) else { continue };
                entry.first.add(wake.first);
                entry.median.add(wake.median);
                entry.last.add(wake.last);
                entry.upstream.add(wake.upstream as f64);
                last.push((kind, wake.last));
            }
            let last_of = |wanted| last.iter().find(|(kind, _)| *kind == wanted).map(|(_, last)| *last);
            for (kind, entry) in &mut entries {
                let Some(last) = last_of(*kind) else { continue };
                entry.to_direct.add(last / last_of(Kind::Direct).unwrap_or(f64::NAN));
                entry.to_hyper.add(last / last_of(Kind::Ceiling).unwrap_or(f64::NAN));
            }
        }
        let here = |kind: &Kind| contenders.iter().any(|contender| contender.kind == *kind);
        for (kind, entry) in entries.iter().filter(|(kind, _)| here(kind)) {
            let row = |measure: &str| format!("{count} waiters: {measure}");
            table.put(&row("first answered after, ms"), *kind, entry.first.show(1));
            table.put(&row("median, ms"), *kind, entry.median.show(1));
            table.put(&row("last, ms"), *kind, entry.last.show(1));
            table.put(&row("last, as a multiple of direct"), *kind, entry.to_direct.show(2));
            table.put(
                &row("last, as a multiple of bare hyper's, with the same head"),
                *kind,
                entry.to_hyper.show(2),
            );
            let is_origin = matches!(kind, Kind::Ceiling | Kind::Direct);
            let upstream = if is_origin { count.to_string() } else { entry.upstream.show(0) };
            table.put(&row("requests upstream"), *kind, upstream);
            table.put(&row("errors, all rounds"), *kind, entry.errors.to_string());
        }
    }
    Ok(())
}

/// Connects all waiters, then lets all of them send their request, and waits for all answers.
async fn flight(door: Door, count: usize, path: &str) -> Result<Wake, Failure> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(door).await?);
    }
    let mut waiters = JoinSet::new();
    for mut connection in connections {
        let path = path.to_owned();
        waiters.spawn(async move {
            let answer = timeout(Duration::from_secs(25), connection.get(&path)).await.ok()?.ok()?;
            let now = wall_micros();
            // The connection is returned, so that it is closed after the measurement.
            (answer.status == 200).then(|| Some((now.saturating_sub(answer.number("at")?), connection)))?
        });
    }
    let answers = waiters.join_all().await;
    let mut times: Vec<f64> = answers.iter().flatten().map(|(micros, _)| *micros as f64 / 1e3).collect();
    let errors = count - times.len();
    let mut at = |share: f64| part(&mut times, share).unwrap_or(f64::NAN);
    Ok(Wake { first: at(0.0), median: at(0.5), last: at(1.0), errors, upstream: 0 })
}
