//! Owns the storm over real sockets: gateway and sandbox in this process, clients on keep-alive connections,
//! and the rate limit of the sandbox.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskgate::app::{self, Listeners, listeners};
use taskgate::config::{self, Sources};
use taskgate::lifecycle::Lifecycle;
use taskgate::sandbox::{Course, Medium, Options, Pin, Plan, Sandbox};
use taskgate::server::{self, ConnectionLimits};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::tally::Tally;

const CLIENTS: usize = 1_000;
const TASKS: usize = 200;
const PER_MINUTE: u32 = 600;
const SHARE: f64 = 0.8;
/// `budget.burst = "auto"`: a tenth of what the gateway may send in a minute.
const BURST: u32 = 48;
const DEAF_EVERY: Duration = Duration::from_secs(1);

pub fn run(obedient: f64, seconds: u64) -> Tally {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let storm = |runtime: tokio::runtime::Runtime| runtime.block_on(storm(obedient, seconds));
    runtime.map_err(Into::into).and_then(storm).unwrap_or_else(|error: Box<dyn std::error::Error>| Tally {
        name: format!("over sockets: did not run: {error}"),
        ..Tally::default()
    })
}

async fn storm(obedient: f64, seconds: u64) -> Result<Tally, Box<dyn std::error::Error>> {
    let lifecycle = Lifecycle::default();
    let (sandbox, upstream) = start_sandbox(&lifecycle).await?;
    let gateway = start_gateway(upstream, &lifecycle).await?;
    let per_minute = f64::from(PER_MINUTE) * SHARE;
    let ideal = TASKS as f64 * 60.0 / per_minute;
    let known_from = Instant::now() + Duration::from_secs_f64((ideal + 2.0).min(seconds as f64 / 2.0));
    let tally = Arc::new(Mutex::new(Tally {
        name: format!(
            "over sockets {seconds} s, {CLIENTS} clients, {TASKS} tasks, {PER_MINUTE}/min, {:.0} % obey Retry-After",
            obedient * 100.0
        ),
        allowed: f64::from(BURST) + per_minute * seconds as f64 / 60.0,
        ideal_s: ideal,
        ..Tally::default()
    }));
    let paths: Vec<String> = (0..TASKS)
        .map(|_| {
            let plan = Plan { course: Course::Pinned(Pin::Processing(40)), ..Plan::default() };
            format!("/v1/tasks/{}", sandbox.create(Medium::Video, plan))
        })
        .collect();
    for number in 0..CLIENTS {
        let path = paths.get(number % TASKS).cloned().unwrap_or_default();
        let listens = ((number / TASKS % 10) as f64) < obedient * (CLIENTS / TASKS) as f64;
        let tally = Arc::clone(&tally);
        drop(lifecycle.spawn(async move {
            // A failed client is an error that the table must show.
            if poll(gateway, &path, listens, known_from, &tally).await.is_err() {
                lock(&tally).refused += 1;
            }
        }));
    }
    sleep(Duration::from_secs(seconds)).await;
    lifecycle.stop();
    let mut tally = std::mem::take(&mut *lock(&tally));
    tally.upstream = sandbox.requests();
    Ok(tally.finished())
}

async fn start_sandbox(lifecycle: &Lifecycle) -> Result<(Sandbox, SocketAddr), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::new(Options { requests_per_minute: PER_MINUTE, ..Options::default() });
    let listener = listeners::listen("127.0.0.1:0".parse()?, "sandbox").await?;
    let address = listener.local_addr()?;
    let limits = ConnectionLimits {
        max_connections: 4096,
        header_read_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        write_stall_timeout: Duration::from_secs(30),
    };
    drop(lifecycle.spawn(server::serve(listener, sandbox.router(), limits, lifecycle.clone())));
    Ok((sandbox, address))
}

async fn start_gateway(
    upstream: SocketAddr,
    lifecycle: &Lifecycle,
) -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let settings = config::load(&Sources {
        file: None,
        env: vec![
            variable("LEMONDATA_API_KEY", Options::default().api_key),
            variable("TASKGATE_UPSTREAM__BASE_URL", format!("http://{upstream}")),
            variable("TASKGATE_ACCESS__MODE", "open".to_owned()),
            variable("TASKGATE_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            variable("TASKGATE_ADMIN__LISTEN", "off".to_owned()),
            variable("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", PER_MINUTE.to_string()),
            variable("TASKGATE_SERVER__HEADER_READ_TIMEOUT", "2m".to_owned()),
        ],
    })?;
    let listeners = Listeners::bind(&settings).await?;
    let address = listeners.main.local_addr()?;
    app::start(&settings, listeners, lifecycle)?;
    Ok(address)
}

async fn poll(
    gateway: SocketAddr,
    path: &str,
    listens: bool,
    known_from: Instant,
    tally: &Mutex<Tally>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    sleep(Duration::from_millis(fastrand::u64(0..2_000))).await;
    let mut stream = BufReader::new(TcpStream::connect(gateway).await?);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    loop {
        stream.write_all(request.as_bytes()).await?;
        let answer = timeout(Duration::from_secs(30), read(&mut stream)).await??;
        {
            let mut tally = lock(tally);
            tally.polls += 1;
            tally.refused += u64::from(answer.status != 200);
            tally.too_many += u64::from(answer.rate_limited);
            if answer.status == 200 && Instant::now() >= known_from {
                tally.ages.push(answer.age_s.saturating_mul(1000));
            }
        }
        let told = answer.retry_after_s.filter(|_| listens);
        sleep(told.map_or(DEAF_EVERY, Duration::from_secs)).await;
    }
}

#[derive(Default)]
struct Answer {
    status: u16,
    age_s: u32,
    retry_after_s: Option<u64>,
    /// The upstream has answered 429: the gateway names that in an error and in a state that stands in.
    rate_limited: bool,
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let mut answer = Answer::default();
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            answer.status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
        }
        let Some((name, value)) = text.split_once(": ") else { continue };
        match name {
            "content-length" => length = value.parse().unwrap_or_default(),
            "age" => answer.age_s = value.parse().unwrap_or_default(),
            "retry-after" => answer.retry_after_s = value.parse().ok(),
            "cache-status" => answer.rate_limited = value.contains("upstream_rate_limited"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(answer)
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
