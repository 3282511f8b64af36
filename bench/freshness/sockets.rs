//! Owns the same over real sockets: gateway and sandbox in this process, and streams that watch one task after the other.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskgate::app::{self, Listeners, listeners};
use taskgate::config::{self, Sources};
use taskgate::lifecycle::Lifecycle;
use taskgate::sandbox::{Course, Ending, Medium, Options, Plan, Sandbox};
use taskgate::server::{self, ConnectionLimits};
use taskgate_bench::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::workload::Workload;

/// The tasks at once, and the limit of the key: with four fifths of it N/r is 5 s.
const TASKS: usize = 40;
const PER_MINUTE: u32 = 600;

/// The delays of the ends in the second half of the time, in seconds.
pub fn run(workload: &Workload, learns: bool, seconds: u64) -> Result<Vec<f64>, Failure> {
    fastrand::seed(1);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(play(workload, learns, seconds))
}

async fn play(workload: &Workload, learns: bool, seconds: u64) -> Result<Vec<f64>, Failure> {
    let lifecycle = Lifecycle::default();
    let (sandbox, upstream) = start_sandbox(&lifecycle).await?;
    let gateway = start_gateway(upstream, learns, &lifecycle).await?;
    let counted = Instant::now() + Duration::from_secs(seconds / 2);
    let delays = Arc::new(Mutex::new(Vec::new()));
    for number in 0..TASKS {
        let (sandbox, workload, delays) = (sandbox.clone(), workload.clone(), Arc::clone(&delays));
        drop(lifecycle.spawn(async move {
            sleep(Duration::from_secs_f64(8.0 * fastrand::f64())).await;
            for next in 0.. {
                let task = workload.task(number + TASKS * next);
                let duration = Some(Duration::from_secs_f64(task.seconds));
                let course = Course::Run { duration, ending: Some(Ending::Completed) };
                let id = sandbox.create(Medium::Video, Plan { model: task.model, course, ..Plan::default() });
                let end = Instant::now() + Duration::from_secs_f64(task.seconds);
                // A stream that breaks off is opened again, and the delay tells.
                while watch(gateway, &id).await.is_err() {
                    sleep(Duration::from_millis(100)).await;
                }
                if end >= counted {
                    let mut delays = delays.lock().unwrap_or_else(PoisonError::into_inner);
                    delays.push(end.elapsed().as_secs_f64());
                }
            }
        }));
    }
    sleep(Duration::from_secs(seconds)).await;
    lifecycle.stop();
    let delays = std::mem::take(&mut *delays.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(delays)
}

/// Watches a task to its end.
async fn watch(gateway: SocketAddr, id: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway).await?;
    let request = format!(
        "GET /v1/tasks/{id} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await?;
    let is_over = String::from_utf8_lossy(&seen).contains("\"completed\"");
    if is_over { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

async fn start_sandbox(lifecycle: &Lifecycle) -> Result<(Sandbox, SocketAddr), Failure> {
    let sandbox = Sandbox::new(Options { requests_per_minute: PER_MINUTE, ..Options::default() });
    let listener = listeners::listen("127.0.0.1:0".parse()?, "sandbox").await?;
    let address = listener.local_addr()?;
    let limits = ConnectionLimits {
        max_connections: 1024,
        header_read_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(75),
        write_stall_timeout: Duration::from_secs(30),
    };
    drop(lifecycle.spawn(server::serve(listener, sandbox.router(), limits, lifecycle.clone())));
    Ok((sandbox, address))
}

async fn start_gateway(
    upstream: SocketAddr,
    learns: bool,
    lifecycle: &Lifecycle,
) -> Result<SocketAddr, Failure> {
    let variable = |name: &str, value: String| (format!("TASKGATE_{name}"), value);
    let settings = config::load(&Sources {
        file: None,
        env: vec![
            ("LEMONDATA_API_KEY".to_owned(), Options::default().api_key),
            variable("UPSTREAM__BASE_URL", format!("http://{upstream}")),
            // The sandbox's progress foretells the end exactly, which real ones do not.
            variable("UPSTREAM__PROGRESS_POINTER", String::new()),
            variable("ACCESS__MODE", "open".to_owned()),
            variable("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            variable("ADMIN__LISTEN", "off".to_owned()),
            variable("BUDGET__REQUESTS_PER_MINUTE", PER_MINUTE.to_string()),
            variable("POLLING__FRESH_FOR", "500ms".to_owned()),
            variable("POLLING__LEARN", learns.to_string()),
        ],
    })?;
    let listeners = Listeners::bind(&settings).await?;
    let address = listeners.main.local_addr()?;
    app::start(&settings, listeners, lifecycle)?;
    Ok(address)
}
