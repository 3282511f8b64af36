//! Owns the part about size: resident memory when idle and with many tasks, time to readiness, and binary.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};

use crate::Failure;
use crate::args::Args;
use crate::client::{Connection, Door};
use crate::contender::{Kind, Running, Setup};
use crate::figure::Figure;
use crate::script::BODY;
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;

const KINDS: [Kind; 4] = [Kind::Taskgate, Kind::Nginx, Kind::Haproxy, Kind::Varnish];
const CLIENTS: usize = 32;
/// The number of tasks that are requested again, to see whether they were kept.
const SAMPLE: usize = 500;
/// A block of HAProxy's cache, in bytes.
const BLOCK: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let origin = Origin::start()?;
    for kind in KINDS {
        let (mut idle, mut ready) = (Figure::default(), Figure::default());
        for _ in 0..args.rounds {
            let Some(running) = stage.start(kind, &origin, Setup::Ordinary).await? else { break };
            ready.add(running.ready_after.as_secs_f64() * 1e3);
            sleep(Duration::from_millis(300)).await;
            idle.add(running.process.resident() as f64 / MIB);
        }
        let Some(running) = stage.start(kind, &origin, Setup::Large(args.tasks)).await? else { continue };
        sleep(Duration::from_millis(300)).await;
        let filling = Filling::run(&running, &origin, args.tasks).await?;
        progress(&format!("memory, {}: {filling:?}", kind.name()));
        table.put("RSS idle, MiB", kind, idle.show(1));
        let n = args.tasks;
        table.put(
            &format!("RSS with {n} tasks kept, MiB"),
            kind,
            format!("{:.1}", filling.full as f64 / MIB),
        );
        table.put("bytes a task in memory, without its body", kind, filling.bytes_over_body(n));
        table.put("bytes a task in files", kind, format!("{:.0}", filling.files as f64 / n as f64));
        table.put("of these tasks still kept", kind, format!("{:.1} %", filling.kept * 100.0));
        table.put("start to first answer, ms", kind, ready.show(0));
        let size = kind.program().and_then(|path| std::fs::metadata(path).ok()).map_or(0, |file| file.len());
        table.put("binary, MiB", kind, format!("{:.1}", size as f64 / MIB));
    }
    Ok(())
}

/// A cache before and after it is filled with tasks.
#[derive(Debug)]
struct Filling {
    kind: Kind,
    empty: u64,
    full: u64,
    /// Bytes of a task, as the cache itself reports them.
    occupied: Option<f64>,
    /// Bytes on disk, in whole blocks. The kernel's page cache holds them while there is room.
    files: u64,
    /// The part of the sample that was answered without the origin.
    kept: f64,
}

impl Filling {
    async fn run(running: &Running, origin: &Origin, tasks: usize) -> Result<Self, Failure> {
        let empty = running.process.resident();
        fill(running.door, tasks).await?;
        sleep(Duration::from_millis(500)).await;
        let full = running.process.resident();
        let asked = origin.script.count().requests;
        let mut connection = Connection::open(running.door).await?;
        let sample = SAMPLE.min(tasks);
        for number in 0..sample {
            connection.get(&path(number * tasks / sample)).await?;
        }
        let missed = origin.script.count().requests - asked;
        Ok(Self {
            kind: running.kind,
            empty,
            full,
            occupied: if running.kind == Kind::Haproxy { occupied(running) } else { None },
            files: if running.kind == Kind::Nginx { on_disk(&running.directory.join("cache")) } else { 0 },
            kept: 1.0 - missed as f64 / sample as f64,
        })
    }

    fn bytes_over_body(&self, tasks: usize) -> String {
        let grown = match (self.kind, self.occupied) {
            (Kind::Haproxy, None) => return "–".into(),
            (_, Some(occupied)) => occupied,
            (_, None) => self.full.saturating_sub(self.empty) as f64 / tasks as f64,
        };
        // nginx keeps only the keys in memory, and the bodies in files.
        let body = if self.kind == Kind::Nginx { 0.0 } else { BODY as f64 };
        format!("{:.0}", grown - body)
    }
}

fn path(number: usize) -> String {
    format!("/v1/tasks/done-{number:026}")
}

async fn fill(door: Door, tasks: usize) -> Result<(), Failure> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut connection = Connection::open(door).await?;
            for number in (client..tasks).step_by(CLIENTS) {
                let answer = timeout(Duration::from_secs(30), connection.get(&path(number))).await??;
                if answer.status != 200 {
                    return Err(format!("while the cache is filled: {answer:?}").into());
                }
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

/// The bytes of a stored task in HAProxy's cache, as its control socket reports them for some tasks. HAProxy
/// allocates the cache at its start, so the growth of its memory means nothing.
fn occupied(running: &Running) -> Option<f64> {
    let mut socket = UnixStream::connect(running.directory.join("haproxy.sock")).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    socket.write_all(b"show cache\n").ok()?;
    let mut text = [0; 16 * 1024];
    let length = socket.read(&mut text).ok()?;
    let text = String::from_utf8_lossy(text.get(..length)?).into_owned();
    // `… size:921 (1 blocks), …`
    let blocks = text.split(" blocks)").filter_map(|before| before.rsplit_once('(')?.1.parse().ok());
    let blocks: Vec<f64> = blocks.collect();
    (!blocks.is_empty()).then(|| BLOCK * blocks.iter().sum::<f64>() / blocks.len() as f64)
}

fn on_disk(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(of) if of.is_dir() => on_disk(&entry.path()),
            Ok(of) => of.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
