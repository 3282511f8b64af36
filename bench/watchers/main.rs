//! Measures nine thousand watchers: lost ends, the delay until a watcher sees the end, and its memory.
//!
//! `cargo bench -p taskgate-bench --bench watchers` runs the gateway as a process of its own, and the upstream and the watchers
//! in this one. It needs 10,000 open files in each: `ulimit -n 20000`. `-- quick` runs a tenth of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use taskgate_bench::{Failure, Gateway, Requests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

const TASKS: usize = 100;
const LIVE: &str = r#"{"id":"t","status":"processing","progress":40,"model":"video-1","created":1784000000}"#;
const DONE: &str =
    r#"{"id":"t","status":"completed","progress":100,"video_url":"https://cdn.example/v.mp4"}"#;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> Result<(), Failure> {
    let watchers = if std::env::args().any(|word| word == "quick") { 900 } else { 9000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!(
        "| watchers | reconnecting | RSS before | RSS with them | per watcher | terminal events lost | events after the end | first to last | p50 | p99 |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for restless in [0.0, 0.1] {
        println!("{}", runtime.block_on(run(watchers, restless))?);
    }
    println!("Times are from the upstream's first terminal answer for a task to the event at its watcher.");
    Ok(())
}

async fn run(watchers: usize, restless: f64) -> Result<String, Failure> {
    let upstream = Arc::new(Upstream { done: AtomicBool::new(false), ended: Mutex::new([None; TASKS]) });
    let listener = listen().await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, Arc::clone(&upstream)));
    let gateway = Gateway::start(address, &[("TASKGATE_ADMIN__LISTEN", "off")])?;
    // The first answer allocates the structures that exist once.
    watch(gateway.address, 0, true).await?;
    let before = gateway.rss_kib()?;
    let calm = Arc::new(AtomicBool::new(false));
    let mut crowd = JoinSet::new();
    for number in 0..watchers {
        let is_restless = (number % 100) as f64 / 100.0 < restless;
        let calm = Arc::clone(&calm);
        crowd.spawn(watch_to_the_end(gateway.address, number % TASKS, is_restless, calm));
        if number % 100 == 99 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    sleep(Duration::from_secs(8)).await;
    let with = gateway.rss_kib()?;
    calm.store(true, Ordering::SeqCst);
    upstream.done.store(true, Ordering::SeqCst);
    let (mut lost, mut late, mut delays, mut ends) = (0, 0, Vec::new(), Vec::new());
    let results = timeout(Duration::from_secs(60), crowd.join_all()).await?;
    let ended = *upstream.ended.lock().unwrap_or_else(PoisonError::into_inner);
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Ok(Ended { at, task, after }) => {
                late += after;
                ends.push(at);
                match ended.get(task).copied().flatten() {
                    Some(answered) => delays.push(at.saturating_duration_since(answered)),
                    None => return Err(format!("watcher {number} saw an end that was not").into()),
                }
            }
            Err(_) => lost += 1,
        }
    }
    delays.sort_unstable();
    ends.sort_unstable();
    let part = |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap_or_default();
    let spread = ends.last().zip(ends.first()).map(|(last, first)| *last - *first).unwrap_or_default();
    Ok(format!(
        "| {watchers} | {:.0} % | {:.1} MiB | {:.1} MiB | {:.1} KiB | {lost} | {late} | {:.0} ms | {:.0} ms | {:.0} ms |",
        restless * 100.0,
        before as f64 / 1024.0,
        with as f64 / 1024.0,
        with.saturating_sub(before) as f64 / watchers as f64,
        spread.as_secs_f64() * 1000.0,
        part(50).as_secs_f64() * 1000.0,
        part(99).as_secs_f64() * 1000.0,
    ))
}

/// The moment at which a watcher saw the end of its task, and the number of events after it.
struct Ended {
    at: Instant,
    task: usize,
    after: usize,
}

async fn watch_to_the_end(
    gateway: SocketAddr,
    task: usize,
    restless: bool,
    calm: Arc<AtomicBool>,
) -> Result<Ended, Failure> {
    while restless && !calm.load(Ordering::SeqCst) {
        let stay = Duration::from_millis(fastrand::u64(100..3000));
        if let Ok(ended) = timeout(stay, watch(gateway, task, false)).await {
            return ended;
        }
    }
    watch(gateway, task, false).await
}

/// Watches a task until its end, or with `once` until the first event.
async fn watch(gateway: SocketAddr, task: usize, once: bool) -> Result<Ended, Failure> {
    let mut stream = TcpStream::connect(gateway).await?;
    let request =
        format!("GET /v1/tasks/t{task} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut seen = Vec::with_capacity(1024);
    let mut end = None;
    loop {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            break;
        }
        seen.extend_from_slice(chunk.get(..length).unwrap_or_default());
        if end.is_none() && count(&seen, b"\"completed\"") > 0 {
            end = Some(Instant::now());
        }
        if once && count(&seen, b"data: ") > 0 {
            break;
        }
        // The last chunk ends the body.
        if seen.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let after = seen
        .windows(11)
        .position(|window| window == b"\"completed\"")
        .map_or(0, |at| count(seen.get(at..).unwrap_or_default(), b"data: "));
    match end {
        Some(at) => Ok(Ended { at, task, after }),
        None if once => Ok(Ended { at: Instant::now(), task, after }),
        None => Err("the stream ended without the end".into()),
    }
}

fn count(text: &[u8], word: &[u8]) -> usize {
    text.windows(word.len()).filter(|window| *window == word).count()
}

/// An upstream whose tasks are live until they are done.
struct Upstream {
    done: AtomicBool,
    /// The time of the first terminal answer for each task.
    ended: Mutex<[Option<Instant>; TASKS]>,
}

#[expect(clippy::disallowed_methods, reason = "the upstream's own port")]
async fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}

async fn serve(listener: TcpListener, upstream: Arc<Upstream>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&upstream)));
    }
}

async fn converse(stream: TcpStream, upstream: Arc<Upstream>) -> std::io::Result<()> {
    let mut requests = Requests::of(stream);
    while let Some(head) = requests.next().await? {
        let task = head.split(['/', ' ']).nth(4).and_then(|id| id.strip_prefix('t')?.parse::<usize>().ok());
        let is_done = upstream.done.load(Ordering::SeqCst);
        let body = if is_done { DONE } else { LIVE };
        if is_done {
            let mut ended = upstream.ended.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = task.and_then(|task| ended.get_mut(task)) {
                first.get_or_insert_with(Instant::now);
            }
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        requests.stream().write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
