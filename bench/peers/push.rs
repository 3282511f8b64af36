//! Owns the part about pushes: thousands of clients watch tasks by server-sent events, and the tasks change.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::args::Args;
use crate::changes::{Change, FIRST};
use crate::client::Answer;
use crate::contender::{Kind, Running, Setup};
use crate::figure::{Figure, part};
use crate::publisher::{Publisher, id};
use crate::script::BODY;
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;
use crate::watchers::{Stream, Watchers, churn};

const KINDS: [Kind; 4] = [Kind::Taskgate, Kind::Nchan, Kind::Pushpin, Kind::Ceiling];
/// A part of the readers that stalls.
const STALLED: usize = 10;
/// The states that fill the buffers of those who do not read, and their length in bytes.
const LARGE: (usize, usize) = (2, 192 * 1024);
/// The longest wait until they have arrived.
const FULL_WITHIN: Duration = Duration::from_secs(5);

const RSS: &str = "RSS a watcher, KiB";
const CPU: &str = "CPU an event, µs";
const LAST: &str = "last received after, ms";
/// The rows that are told as multiples too, of bare hyper's in the same round.
const COMPARED: [&str; 3] = [RSS, CPU, LAST];
const KIB: f64 = 1024.0;

/// The number of tasks and of their watchers.
#[derive(Debug, Clone, Copy)]
struct Scale {
    tasks: usize,
    watchers: usize,
}

/// A measured value: its row, its digits behind the point, and itself.
type Value = (String, usize, f64);

/// A row of the table: its digits, and a figure for each subject.
struct Row {
    name: String,
    digits: usize,
    cells: Vec<(Kind, Figure)>,
}

/// One subject at work.
struct Show<'s> {
    running: Running,
    publisher: Publisher<'s>,
    watchers: Watchers,
    scale: Scale,
    version: u64,
}

/// The cost of some changes, and their durations in milliseconds.
#[derive(Debug, Default)]
struct FanOuts {
    first: Vec<f64>,
    median: Vec<f64>,
    last: Vec<f64>,
    lost: usize,
    cpu: Duration,
    events: usize,
}

/// Fills the table, and returns the notes below it.
pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<String, Failure> {
    let mut notes = String::new();
    for scale in [
        Scale { tasks: args.pick(100, 20), watchers: args.pick(9000, 900) },
        Scale { tasks: 1, watchers: args.pick(1000, 100) },
    ] {
        let mut rows: Vec<Row> = Vec::new();
        let mut heads = vec![String::new(); KINDS.len()];
        let mut order: Vec<usize> = (0..KINDS.len()).collect();
        for round in 0..args.rounds {
            let mut taken = Vec::new();
            // taskgate is the first of all, as bare hyper copies its head.
            order.rotate_left(usize::from(round > 0));
            for &place in &order {
                let origin = Origin::start()?;
                let kind = KINDS[place];
                let Some((values, head)) = subject(stage, args, kind, &origin, scale).await? else {
                    continue;
                };
                progress(&format!("push, {scale:?}, round {}, {}: {values:?}", round + 1, kind.name()));
                heads[place] = head;
                for (name, digits, value) in values {
                    add(&mut rows, &name, digits, kind, value);
                    taken.push((kind, name, value));
                }
            }
            for name in COMPARED {
                let values = || taken.iter().filter(|(_, of, _)| of == name);
                let limit = values().find(|(kind, ..)| *kind == Kind::Ceiling).map(|(.., value)| *value);
                for (kind, _, value) in values() {
                    let ratio = value / limit.unwrap_or(f64::NAN);
                    add(&mut rows, &format!("{name} / that of bare hyper"), 2, *kind, ratio);
                }
            }
        }
        for row in &rows {
            for (kind, figure) in &row.cells {
                table.put(
                    &format!("{} streams, {} tasks: {}", scale.watchers, scale.tasks, row.name),
                    *kind,
                    figure.show(row.digits),
                );
            }
        }
        heads.retain(|head| !head.is_empty());
        notes = format!(
            "- Streams begin with a head, and each event carries the same {BODY} bytes: {}.\n",
            heads.join("; ")
        );
    }
    Ok(notes)
}

fn add(rows: &mut Vec<Row>, name: &str, digits: usize, kind: Kind, value: f64) {
    let at = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
        rows.push(Row { name: name.to_owned(), digits, cells: Vec::new() });
        rows.len() - 1
    });
    let cells = &mut rows[at].cells;
    let cell = cells.iter().position(|(of, _)| *of == kind).unwrap_or_else(|| {
        cells.push((kind, Figure::default()));
        cells.len() - 1
    });
    cells[cell].1.add(value);
}

/// Measures one subject, from its start to its end. `None` if it is left out.
async fn subject(
    stage: &Stage,
    args: &Args,
    kind: Kind,
    origin: &Origin,
    scale: Scale,
) -> Result<Option<(Vec<Value>, String)>, Failure> {
    let Some(running) = stage.start(kind, origin, Setup::Push).await? else { return Ok(None) };
    let publisher = Publisher::new(&running, &origin.script.changes, scale.tasks);
    let watchers = Watchers::default();
    let mut show = Show { running, publisher, watchers, scale, version: FIRST.version };
    if kind != Kind::Taskgate {
        show.publisher.prepare().await?;
        show.publisher.change(FIRST).await?;
        show.publisher.settle().await?;
    }
    let door = show.running.door;
    let first = Stream::open(door, &id(0), None).await?;
    let head = format!("{}: {} bytes, then {} an event", kind.name(), first.head.len(), first.event);
    if kind == Kind::Taskgate {
        stage.copy(&Answer { status: 200, head: first.head.clone(), body: Vec::new() })?;
    }
    drop(first);
    let mut values = Vec::new();
    let mut tell = |name: &str, digits: usize, value: f64| values.push((name.to_owned(), digits, value));
    let empty = show.running.process.resident();
    let opening = Instant::now();
    show.watchers.open(door, scale.watchers, scale.tasks).await?;
    let opened = opening.elapsed();
    if scale.tasks == 1 {
        let fans = show.change(args.pick(10, 2), BODY).await?;
        fans.tell("", &mut tell);
        return Ok(Some((values, head)));
    }
    // Heartbeats come every 15 s.
    let idle = args.time(15, 3);
    let (asked, before) = (origin.script.count().requests, show.running.process.cpu());
    sleep(idle).await;
    let cpu = show.running.process.cpu().saturating_sub(before);
    let looks = origin.script.count().requests - asked;
    let resting = show.running.process.resident();
    let fans = show.change(args.pick(5, 2), BODY).await?;
    let used = show.running.process.resident();
    let each = |resident: u64| resident.saturating_sub(empty) as f64 / KIB / scale.watchers as f64;
    tell("RSS before, MiB", 1, empty as f64 / KIB / KIB);
    tell("RSS a watcher, before the first change, KiB", 1, each(resting));
    tell(RSS, 1, each(used));
    tell("all opened after, s", 1, opened.as_secs_f64());
    fans.tell("", &mut tell);
    tell("CPU of an idle second, ms", 1, cpu.as_secs_f64() * 1e3 / idle.as_secs_f64());
    tell("requests upstream in it", 1, looks as f64 / idle.as_secs_f64());
    show.stall().await?;
    let fans = show.change(args.pick(5, 2), BODY).await?;
    let name = format!("{STALLED} % stalled: ");
    fans.tell(&name, &mut tell);
    tell(&format!("{name}streams whose clients leave bytes unread"), 0, unread(door.address.port())? as f64);
    tell(&format!("{name}RSS of it all, MiB"), 1, show.running.process.resident() as f64 / KIB / KIB);
    let churned = show.churn(args.time(5, 1)).await?;
    tell("streams opened and closed in a second", 0, churned.0);
    tell("CPU of an opening and closing, µs", 1, churned.1);
    Ok(Some((values, head)))
}

impl Show<'_> {
    /// Changes all tasks so many times, each when all have received the one before.
    async fn change(&mut self, times: usize, length: usize) -> Result<FanOuts, Failure> {
        let mut fans = FanOuts::default();
        for _ in 0..times {
            self.version += 1;
            self.publisher.prepare().await?;
            let wanted = self.watchers.count();
            let before = self.running.process.cpu();
            self.watchers.expect(self.version);
            self.publisher.change(Change { version: self.version, length }).await?;
            let mut after = self.watchers.received().await;
            self.publisher.settle().await?;
            fans.cpu += self.running.process.cpu().saturating_sub(before);
            fans.events += after.len();
            fans.lost += wanted - after.len().min(wanted);
            let mut at = |share: f64| part(&mut after, share).unwrap_or(f64::NAN);
            fans.first.push(at(0.0));
            fans.median.push(at(0.5));
            fans.last.push(at(1.0));
        }
        Ok(fans)
    }

    /// Replaces a part of the watchers by such as do not read. Their buffers are filled before the others come, who would
    /// have to read it all too.
    async fn stall(&mut self) -> Result<(), Failure> {
        let (door, Scale { tasks, watchers }) = (self.running.door, self.scale);
        let stalled = watchers / STALLED;
        self.watchers.close().await;
        self.watchers.open_stalled(door, stalled, tasks).await?;
        let begun = Instant::now();
        self.change(LARGE.0, LARGE.1).await?;
        while unread(door.address.port())? < stalled && begun.elapsed() < FULL_WITHIN {
            sleep(Duration::from_millis(100)).await;
        }
        let (name, count) = (self.running.kind.name(), unread(door.address.port())?);
        progress(&format!("push, {name}: {count} of {stalled} full after {:?}", begun.elapsed()));
        self.change(1, BODY).await?;
        self.watchers.open(door, watchers - stalled, tasks).await
    }

    /// Opens and closes streams, while one of each task stays open. Returns their number in a second, and the CPU time
    /// of each in microseconds.
    async fn churn(&mut self, time: Duration) -> Result<(f64, f64), Failure> {
        let (door, tasks) = (self.running.door, self.scale.tasks);
        self.watchers.close().await;
        self.watchers.open(door, tasks, tasks).await?;
        // The ends of thousands of streams are not part of it.
        sleep(Duration::from_secs(1)).await;
        let before = self.running.process.cpu();
        let count = churn(door, tasks, time).await? as f64;
        let cpu = self.running.process.cpu().saturating_sub(before);
        Ok((count / time.as_secs_f64(), cpu.as_secs_f64() * 1e6 / count))
    }
}

impl FanOuts {
    fn tell(mut self, name: &str, tell: &mut impl FnMut(&str, usize, f64)) {
        let cpu = self.cpu.as_secs_f64() * 1e6 / self.events as f64;
        let median = |of: &mut Vec<f64>| part(of, 0.5).unwrap_or(f64::NAN);
        tell(&format!("{name}{CPU}"), 1, cpu);
        tell(&format!("{name}first received after, ms"), 1, median(&mut self.first));
        tell(&format!("{name}median received after, ms"), 1, median(&mut self.median));
        tell(&format!("{name}{LAST}"), 1, median(&mut self.last));
        tell(&format!("{name}events lost"), 0, self.lost as f64);
    }
}

/// The number of connections to this port whose clients leave bytes unread, as the kernel tells.
fn unread(port: u16) -> Result<usize, Failure> {
    let local = format!(":{port:04X}");
    let text = std::fs::read_to_string("/proc/net/tcp")?;
    let queued = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let is_here = fields.next()?.ends_with(&local);
        // Behind the peer's address and the state: bytes to send, and bytes to read.
        let (to_send, _) = fields.nth(2)?.split_once(':')?;
        (is_here && to_send.bytes().any(|digit| digit != b'0')).then_some(())
    };
    Ok(text.lines().filter_map(queued).count())
}
