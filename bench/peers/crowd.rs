//! Owns the part in which clients poll more often than the origin allows.
//!
//! All contenders are measured at the same time, each with an origin of its own: the load is low, and the
//! measured times are seconds.

use tokio::task::JoinSet;
use tokio::time::Duration;

use crate::Failure;
use crate::args::Args;
use crate::contender::{Kind, Setup};
use crate::figure::{Figure, part};
use crate::polling::Crowd;
use crate::script::Mood;
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;

const KINDS: [Kind; 5] = [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish, Kind::Pass];
const PER_MINUTE: u32 = 600;

#[derive(Default)]
struct Entry {
    polls: Figure,
    upstream: Figure,
    refused: Figure,
    errors: Figure,
    late_errors: Figure,
    nothing: Figure,
    p50: Figure,
    p99: Figure,
}

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let crowd = Crowd { clients: 500, tasks: 100, time: Duration::from_secs(args.seconds) };
    let mut entries: Vec<(Kind, Entry)> = KINDS.into_iter().map(|kind| (kind, Entry::default())).collect();
    for round in 0..args.long_rounds() {
        let mut at_work = JoinSet::new();
        // New processes, which know none of the tasks.
        for kind in KINDS {
            let origin = Origin::start()?;
            let Some(running) = stage.start(kind, &origin, Setup::Budget(PER_MINUTE)).await? else {
                continue;
            };
            at_work.spawn(async move {
                origin.script.begin(Mood::Willing, Some(PER_MINUTE));
                let seen = crowd.poll(running.door).await;
                // The origin is returned too, because dropping it ends it.
                (running, origin, seen)
            });
        }
        while let Some(done) = at_work.join_next().await {
            let (running, origin, seen) = done?;
            let count = origin.script.count();
            let kind = running.kind;
            progress(&format!("crowd, round {}, {}: {count:?}, {}", round + 1, kind.name(), seen.told()));
            let Some((_, entry)) = entries.iter_mut().find(|(of, _)| *of == kind) else { continue };
            entry.polls.add(seen.polls() as f64);
            entry.upstream.add(count.requests as f64);
            entry.refused.add(count.refused as f64);
            entry.errors.add(seen.errors() as f64);
            entry.late_errors.add(seen.late_errors() as f64);
            let mut held = seen.held();
            entry.nothing.add(held.nothing * 100.0);
            for (figure, share) in [(&mut entry.p50, 0.5), (&mut entry.p99, 0.99)] {
                if let Some(age) = part(&mut held.ages, share) {
                    figure.add(age);
                }
            }
        }
    }
    for (kind, entry) in entries.iter().filter(|(_, entry)| entry.polls.median().is_some()) {
        let row = |measure: &str| format!("crowd: {measure}");
        table.put(&row("polls"), *kind, entry.polls.show(0));
        table.put(&row("requests upstream"), *kind, entry.upstream.show(0));
        table.put(&row("of these answered 429"), *kind, entry.refused.show(0));
        table.put(&row("errors that clients saw"), *kind, entry.errors.show(0));
        table.put(&row("errors in the second half"), *kind, entry.late_errors.show(0));
        table.put(&row("age of what a client has, p50, s"), *kind, entry.p50.show(1));
        table.put(&row("age of what a client has, p99, s"), *kind, entry.p99.show(1));
        table.put(&row("time that a client has nothing, %"), *kind, entry.nothing.show(1));
    }
    Ok(())
}
