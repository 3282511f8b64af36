//! Owns the load: runs of wrk on the core for load.

use std::path::Path;

use tokio::time::{Duration, Instant, sleep};

use crate::Failure;
use crate::client::Door;
use crate::contender;
use crate::process::{Process, Program};

/// Keep-alive connections.
pub const CONNECTIONS: usize = 64;

/// The result of a run of wrk.
#[derive(Debug, Default, PartialEq)]
pub struct Load {
    pub requests: f64,
    pub per_second: f64,
    pub p99_micros: f64,
    /// wrk's own lines about answers other than 2xx and 3xx, and about socket errors.
    pub trouble: Option<String>,
}

pub async fn run(
    door: Door,
    path: &str,
    time: Duration,
    directory: &Path,
    core: usize,
) -> Result<Load, Failure> {
    let wrk = contender::find("wrk").ok_or("wrk is missing: bench/peers/run fetches it")?;
    let (connections, seconds) = (CONNECTIONS.to_string(), format!("{}s", time.as_secs()));
    let url = format!("http://{}{path}", door.address);
    let arguments =
        ["--threads", "1", "--connections", &connections, "--duration", &seconds, "--latency", &url];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    if let Some(credentials) = door.credentials {
        arguments.extend(["--header".to_owned(), format!("Authorization: {credentials}")]);
    }
    let program = Program { path: &wrk, arguments, environment: contender::libraries(), directory };
    let begun = Instant::now();
    let mut process = Process::spawn(&program, core)?;
    loop {
        match process.ended() {
            Some(true) => return parse(&process.said()),
            Some(false) => return Err(format!("wrk failed: {}", process.said()).into()),
            None if begun.elapsed() > time + Duration::from_secs(15) => return Err("wrk does not end".into()),
            None => sleep(Duration::from_millis(5)).await,
        }
    }
}

fn parse(text: &str) -> Result<Load, Failure> {
    let mut load = Load::default();
    for line in text.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            load.requests = count.parse()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            load.per_second = rate.trim().parse()?;
        } else if let Some(time) = line.strip_prefix("99%") {
            load.p99_micros = micros(time.trim()).ok_or("what does wrk mean by 99 %?")?;
        } else if line.starts_with("Socket errors") || line.starts_with("Non-2xx") {
            load.trouble = Some(line.to_owned());
        }
    }
    if load.requests > 0.0 { Ok(load) } else { Err(format!("wrk counted nothing: {text}").into()) }
}

/// A time such as `1.23ms`, in microseconds.
fn micros(text: &str) -> Option<f64> {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}
