//! Owns the part about contents: the bytes of a film that pass through.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Failure;
use crate::args::Args;
use crate::client::Door;
use crate::contender::{Kind, Running, Setup};
use crate::figure::Figure;
use crate::origin::FILM;
use crate::stage::{Origin, Stage, progress};
use crate::table::Table;

const KINDS: [Kind; 2] = [Kind::Taskgate, Kind::Nginx];
/// Downloads at once.
const AT_ONCE: [usize; 2] = [1, 8];
const PATH: &str = "/v1/videos/a/content";
/// The same at nginx, with its default buffers.
const BY_DEFAULT: &str = "/v1/films/a/content";

/// What one subject does in all rounds.
#[derive(Default)]
struct Entry {
    rate: Figure,
    cpu: Figure,
    /// The rate and the CPU time of taskgate as multiples of this subject's in the same round.
    rate_ratio: Figure,
    cpu_ratio: Figure,
}

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let origin = Origin::start()?;
    let contenders = stage.start_all(&KINDS, &origin, Setup::Budget(10_000_000)).await?;
    let find = |kind: Kind| contenders.iter().find(|contender| contender.kind == kind);
    let (Some(taskgate), Some(nginx)) = (find(Kind::Taskgate), find(Kind::Nginx)) else { return Ok(()) };
    for at_once in AT_ONCE {
        let (mut own, mut larger, mut usual) = (Entry::default(), Entry::default(), Entry::default());
        for round in 0..args.rounds {
            let (rate, cpu) = transfer(taskgate, PATH, at_once).await?;
            own.rate.add(rate);
            own.cpu.add(cpu);
            for (entry, path) in [(&mut larger, PATH), (&mut usual, BY_DEFAULT)] {
                let (theirs, their_cpu) = transfer(nginx, path, at_once).await?;
                entry.rate.add(theirs);
                entry.cpu.add(their_cpu);
                entry.rate_ratio.add(rate / theirs);
                entry.cpu_ratio.add(cpu / their_cpu);
            }
            progress(&format!("contents, round {}: {at_once} of taskgate {rate:.0} MB/s", round + 1));
        }
        let of = |what: &str| format!("{at_once} × 100 MB: {what}");
        table.put(&of("MB/s"), Kind::Taskgate, own.rate.show(0));
        table.put(&of("CPU per MB, µs"), Kind::Taskgate, own.cpu.show(0));
        for (entry, name) in [(&usual, "default buffers"), (&larger, "buffers of 64 KiB")] {
            table.put(&of(&format!("MB/s, {name}")), Kind::Nginx, entry.rate.show(0));
            table.put(&of(&format!("taskgate's / that of {name}")), Kind::Taskgate, entry.rate_ratio.show(2));
            table.put(&of(&format!("CPU per MB, {name}, µs")), Kind::Nginx, entry.cpu.show(0));
            table.put(
                &of(&format!("taskgate's CPU / that of {name}")),
                Kind::Taskgate,
                entry.cpu_ratio.show(2),
            );
        }
    }
    Ok(())
}

/// The rate of so many downloads at once, in MB/s, and the CPU time of a MB, in microseconds.
async fn transfer(of: &Running, path: &'static str, at_once: usize) -> Result<(f64, f64), Failure> {
    let before = of.process.cpu();
    let begun = Instant::now();
    let mut downloads = JoinSet::new();
    for _ in 0..at_once {
        downloads.spawn(download(of.door, path));
    }
    while let Some(done) = downloads.join_next().await {
        done??;
    }
    let megabytes = (at_once * FILM) as f64 / 1e6;
    let cpu = of.process.cpu().saturating_sub(before);
    Ok((megabytes / begun.elapsed().as_secs_f64(), cpu.as_secs_f64() * 1e6 / megabytes))
}

/// Reads a whole film.
async fn download(door: Door, path: &str) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(door.address).await?;
    let credentials = door.credentials.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credentials}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut part = vec![0; 256 * 1024];
    let mut read = 0;
    loop {
        match stream.read(&mut part).await? {
            0 if read > FILM => return Ok(()),
            0 => return Err(format!("a film is cut after {read} bytes").into()),
            length => read += length,
        }
    }
}
