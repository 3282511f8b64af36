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

#[derive(Default)]
struct Entry {
    rate: Figure,
    cpu: Figure,
    /// As multiples of nginx' in the same round.
    rate_ratio: Figure,
    cpu_ratio: Figure,
}

pub async fn measure(stage: &Stage, args: &Args, table: &mut Table) -> Result<(), Failure> {
    let origin = Origin::start()?;
    let contenders = stage.start_all(&KINDS, &origin, Setup::Budget(10_000_000)).await?;
    for at_once in AT_ONCE {
        let mut entries: Vec<(Kind, Entry)> =
            contenders.iter().map(|contender| (contender.kind, Entry::default())).collect();
        for round in 0..args.rounds {
            let mut measured = Vec::new();
            for Running { kind, door, process, .. } in &contenders {
                let before = process.cpu();
                let begun = Instant::now();
                let mut downloads = JoinSet::new();
                for _ in 0..at_once {
                    downloads.spawn(download(*door));
                }
                while let Some(done) = downloads.join_next().await {
                    done??;
                }
                let took = begun.elapsed();
                let megabytes = (at_once * FILM) as f64 / 1e6;
                let rate = megabytes / took.as_secs_f64();
                let cpu = process.cpu().saturating_sub(before).as_secs_f64() * 1e6 / megabytes;
                progress(&format!(
                    "contents, round {}, {at_once} of {}: {rate:.0} MB/s, CPU {cpu:.0} µs/MB",
                    round + 1,
                    kind.name()
                ));
                measured.push((*kind, rate, cpu));
            }
            let nginx = measured.iter().find(|(kind, ..)| *kind == Kind::Nginx);
            let (nginx_rate, nginx_cpu) = nginx.map_or((f64::NAN, f64::NAN), |(_, rate, cpu)| (*rate, *cpu));
            for (kind, rate, cpu) in measured {
                let Some((_, entry)) = entries.iter_mut().find(|(of, _)| *of == kind) else { continue };
                entry.rate.add(rate);
                entry.cpu.add(cpu);
                entry.rate_ratio.add(rate / nginx_rate);
                entry.cpu_ratio.add(cpu / nginx_cpu);
            }
        }
        for (kind, entry) in &entries {
            let of = |what: &str| format!("{at_once} × 100 MB: {what}");
            table.put(&of("MB/s"), *kind, entry.rate.show(0));
            table.put(&of("MB/s / nginx'"), *kind, entry.rate_ratio.show(2));
            table.put(&of("CPU per MB, µs"), *kind, entry.cpu.show(0));
            table.put(&of("CPU per MB / nginx'"), *kind, entry.cpu_ratio.show(2));
        }
    }
    Ok(())
}

/// Reads a whole film.
async fn download(door: Door) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(door.address).await?;
    let credentials = door.credentials.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credentials}Connection: close\r\n\r\n");
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
