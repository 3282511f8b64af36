//! R19: a log whose reader is gone, has stopped or is slow, and a full disk, and their effect on clients. Each request
//! writes a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStderr, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Duration;

use taskgate_bench::Gateway;

use crate::readers::{load, ms, part};
use crate::{Failure, upstream};

const ROUNDS: usize = 5;
const LOGGING: [(&str, &str); 1] = [("TASKGATE_LOG__ACCESS", "true")];

/// The fate of the log.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Each line is read at once: the control.
    Read,
    Closed,
    Stopped,
    /// A line every millisecond; the load writes about eight.
    Slow,
    DiskFull,
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!(
        "| the log | requests | lost | p99 | p99 / control, in the same round | lines lost | exit code |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (name, fate) in [
        ("its reader has closed it", Fate::Closed),
        ("its reader has stopped", Fate::Stopped),
        ("its reader is slow", Fate::Slow),
        ("the disk is full", Fate::DiskFull),
    ] {
        println!("{}", row(name, fate).await?);
    }
    println!();
    Ok(())
}

async fn row(name: &str, fate: Fate) -> Result<String, Failure> {
    let (upstream, _asked) = upstream::start().await?;
    let (mut ratios, mut times, mut requests, mut lost_requests, mut lost_lines) =
        (Vec::new(), Vec::new(), 0, 0, 0);
    let mut codes = Vec::new();
    for _ in 0..ROUNDS {
        let control = one(upstream, Fate::Read).await?;
        let trial = one(upstream, fate).await?;
        ratios.push(trial.p99.as_secs_f64() / control.p99.as_secs_f64());
        times.push(trial.p99);
        requests += trial.requests;
        lost_requests += trial.errors;
        lost_lines += trial.lost_lines;
        if !codes.contains(&trial.code) {
            codes.push(trial.code);
        }
    }
    ratios.sort_unstable_by(f64::total_cmp);
    times.sort_unstable();
    let of = |at: usize| ratios.get(at).copied().unwrap_or_default();
    Ok(format!(
        "| {name} | {requests} | {lost_requests} | {:.2} ms | {:.2} ({:.2}–{:.2}) | {lost_lines} | {codes:?} |",
        ms(part(&times, 50)),
        of(ROUNDS / 2),
        of(0),
        of(ROUNDS - 1),
    ))
}

struct Outcome {
    p99: Duration,
    requests: usize,
    errors: usize,
    lost_lines: u64,
    code: i32,
}

async fn one(upstream: SocketAddr, fate: Fate) -> Result<Outcome, Failure> {
    let (gateway, _unread) = match fate {
        Fate::DiskFull => {
            let full = File::options().write(true).open("/dev/full")?;
            (Gateway::start_unheard(upstream, &LOGGING, Stdio::from(full))?, None)
        }
        Fate::Read | Fate::Closed | Fate::Stopped | Fate::Slow => {
            let (gateway, log) = Gateway::start_logging(upstream, &LOGGING)?;
            (gateway, treat(log, fate))
        }
    };
    load(gateway.address).await?;
    let (times, errors) = load(gateway.address).await?;
    let lost_lines = lost(gateway.admin).await?;
    let code = gateway.terminate()?;
    Ok(Outcome { p99: part(&times, 99), requests: times.len(), errors, lost_lines, code })
}

/// Lets this become of a log. One that nobody reads is given back: dropped, it would be closed.
#[expect(clippy::disallowed_methods, reason = "a reader of its own, as another program would be")]
fn treat(mut log: BufReader<ChildStderr>, fate: Fate) -> Option<BufReader<ChildStderr>> {
    match fate {
        Fate::Stopped => return Some(log),
        Fate::Closed | Fate::DiskFull => {}
        Fate::Read | Fate::Slow => {
            std::thread::spawn(move || {
                let mut line = Vec::new();
                while matches!(log.read_until(b'\n', &mut line), Ok(1..)) {
                    line.clear();
                    if matches!(fate, Fate::Slow) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
    }
    None
}

/// The lines that the gateway has dropped.
async fn lost(admin: SocketAddr) -> Result<u64, Failure> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    let counts = page.lines().filter_map(|line| line.strip_prefix("taskgate_log_lines_lost_total{"));
    Ok(counts.filter_map(|line| line.split_once("} ")?.1.parse::<u64>().ok()).sum())
}
