//! Owns the part in which the origin refuses requests or hangs, after all states were stored.
//!
//! All contenders are measured at the same time, each with an origin of its own.

use tokio::task::JoinSet;

use crate::Failure;
use crate::args::Args;
use crate::contender::{Kind, Setup};
use crate::polling::Crowd;
use crate::script::Mood;
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;

const KINDS: [Kind; 5] = [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish, Kind::Pass];

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let crowd = |full, quick| Crowd { clients: 20, tasks: 20, time: args.time(full, quick) };
    // Long enough that the stored states expire.
    let (calm, refusing, hanging) = (crowd(5, 3), crowd(15, 3), crowd(20, 3));
    let mut at_work = JoinSet::new();
    // Each trouble has subjects of its own, so that one does not affect the figures of the other.
    for (mood, trouble) in [(Mood::Refusing, refusing), (Mood::Hanging, hanging)] {
        for kind in KINDS {
            let origin = Origin::start()?;
            let Some(running) = stage.start(kind, &origin, Setup::Ordinary).await? else { continue };
            at_work.spawn(async move {
                let before = calm.poll(running.door).await;
                origin.script.begin(mood, None);
                let seen = trouble.poll(running.door).await;
                // The origin is returned too, because dropping it ends it.
                (running, origin, mood, before, seen)
            });
        }
    }
    let mut done = Vec::new();
    while let Some(one) = at_work.join_next().await {
        done.push(one?);
    }
    // The rows are in the order of the troubles, not of completion.
    done.sort_by_key(|(_, _, mood, ..)| *mood == Mood::Hanging);
    for (running, origin, mood, before, seen) in done {
        let kind = running.kind;
        progress(&format!("outage, {mood:?}, {}: {}; before: {}", kind.name(), seen.told(), before.told()));
        let name = match mood {
            Mood::Refusing => format!("the origin answers 429 for {} s", refusing.time.as_secs()),
            Mood::Hanging | Mood::Willing => format!("the origin hangs for {} s", hanging.time.as_secs()),
        };
        table.put(&format!("{name}: clients get"), kind, seen.told());
        table.put(&format!("{name}: requests upstream"), kind, origin.script.count().requests.to_string());
    }
    Ok(())
}
