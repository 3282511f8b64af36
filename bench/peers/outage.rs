//! Owns the part where the origin refuses, and then hangs, while the states of all tasks are known.
//!
//! All subjects are at it at the same time, each with an origin of its own.

use tokio::task::JoinSet;

use crate::Failure;
use crate::order::Order;
use crate::polling::Crowd;
use crate::script::Mood;
use crate::stage::{Origin, Stage, progress};
use crate::subject::{Kind, Setup};
use crate::table::Table;

const KINDS: [Kind; 5] = [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish, Kind::Pass];

pub async fn measure(stage: &Stage, order: &Order, table: &mut Table) -> Result<(), Failure> {
    let crowd = |full, quick| Crowd { clients: 20, tasks: 20, time: order.seconds(full, quick) };
    // Long enough that what is known has to be asked for again.
    let (calm, refusing, hanging) = (crowd(5, 3), crowd(15, 3), crowd(20, 3));
    let mut at_work = JoinSet::new();
    for kind in KINDS {
        let origin = Origin::start()?;
        let Some(running) = stage.start(kind, &origin, Setup::Ordinary).await? else { continue };
        at_work.spawn(async move {
            let mut told = Vec::new();
            for (mood, crowd) in [(Mood::Refusing, refusing), (Mood::Hanging, hanging)] {
                origin.script.begin(Mood::Willing, None);
                let before = calm.poll(running.address).await;
                origin.script.begin(mood, None);
                let seen = crowd.poll(running.address).await;
                told.push((mood, crowd.time.as_secs(), before.told(), seen.told(), origin.script.count()));
            }
            // The origin goes with them: it serves for as long as it is kept.
            (running, origin, told)
        });
    }
    while let Some(done) = at_work.join_next().await {
        let (running, _origin, told) = done?;
        for (mood, seconds, before, seen, count) in told {
            let kind = running.kind;
            progress(&format!("outage, {mood:?}, {}: {seen}; before: {before}", kind.name()));
            let name = match mood {
                Mood::Refusing => format!("the origin answers 429 for {seconds} s"),
                Mood::Hanging | Mood::Willing => format!("the origin hangs for {seconds} s"),
            };
            table.put(&format!("{name}: clients get"), kind, seen);
            table.put(&format!("{name}: requests upstream"), kind, count.requests.to_string());
        }
    }
    Ok(())
}
