//! R13: clients that send slowly, read slowly or do nothing, and their effect on other clients.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use taskgate_bench::Gateway;

use crate::{Failure, upstream};

const CAP: usize = 4000;
const HONEST: usize = 16;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
/// All timeouts of the gateway under siege.
const TIMEOUT: Duration = Duration::from_secs(5);
const HIT: &str = "GET /v1/tasks/h HTTP/1.1\r\nHost: localhost\r\n\r\n";
const STREAM: &str = "GET /v1/tasks/r HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";

#[derive(Clone, Copy)]
enum Besieger {
    /// Connects and sends nothing.
    Idle,
    /// Sends a byte of its head every 100 ms.
    SlowHead,
    /// Requests ten answers of 200 KB and reads 100 bytes a second.
    SlowReader,
    /// Opens a stream that sends 200 KB a second, and never reads.
    Unread,
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!(
        "| besiegers | closed | after at most | honest p50 | honest p99 | control p99 | p99 / control | honest errors | admin unanswered | highest RSS |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    use Besieger::{Idle, SlowHead, SlowReader, Unread};
    for (name, besieger, count) in [
        ("3,900 idle, to the cap", Idle, 3900),
        ("1,000 slow heads", SlowHead, 1000),
        ("1,000 slow readers", SlowReader, 1000),
        ("1,000 streams never read", Unread, 1000),
    ] {
        println!("{}", row(name, besieger, count).await?);
    }
    println!(
        "Medians of {ROUNDS} rounds of 4 s, control and siege in turn. The gateway's timeouts are 5 s each; \"after at most\" counts from connecting, so it holds the time until a write first stalls.\n"
    );
    Ok(())
}

async fn row(name: &str, besieger: Besieger, count: usize) -> Result<String, Failure> {
    let (address, _asked) = upstream::start().await?;
    let cap = CAP.to_string();
    let gateway = Gateway::start(
        address,
        &[
            ("TASKGATE_SERVER__MAX_CONNECTIONS", cap.as_str()),
            ("TASKGATE_SERVER__HEADER_READ_TIMEOUT", "5s"),
            ("TASKGATE_SERVER__IDLE_TIMEOUT", "5s"),
            ("TASKGATE_SERVER__WRITE_STALL_TIMEOUT", "5s"),
            ("TASKGATE_POLLING__FRESH_FOR", "1s"),
            ("TASKGATE_POLLING__MAX_INTERVAL", "1s"),
        ],
    )?;
    load(gateway.address).await?;
    let (mut controls, mut p50s, mut p99s, mut errors, mut unanswered, mut rss) =
        (vec![], vec![], vec![], 0, 0, 0f64);
    let (mut closed, mut slowest) = (0, Duration::ZERO);
    for _ in 0..ROUNDS {
        let (times, _) = load(gateway.address).await?;
        controls.push(part(&times, 99));
        let mut crowd = JoinSet::new();
        for _ in 0..count {
            crowd.spawn(besiege(gateway.address, besieger));
        }
        sleep(Duration::from_millis(500)).await;
        let ((times, failed), missing) = tokio::try_join!(load(gateway.address), ask_admin(gateway.admin))?;
        p50s.push(part(&times, 50));
        p99s.push(part(&times, 99));
        errors += failed;
        unanswered += missing;
        rss = rss.max(gateway.rss_kib()? as f64 / 1024.0);
        let ends = crowd.join_all().await;
        let ends: Vec<Duration> = ends.into_iter().flatten().collect();
        closed += ends.len();
        slowest = slowest.max(ends.into_iter().max().unwrap_or_default());
    }
    let (control, p50, p99) = (median(controls), median(p50s), median(p99s));
    Ok(format!(
        "| {name} | {closed} of {} | {:.1} s | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} | {errors} | {unanswered} | {rss:.1} MiB |",
        count * ROUNDS,
        slowest.as_secs_f64(),
        ms(p50),
        ms(p99),
        ms(control),
        ms(p99) / ms(control),
    ))
}

/// One round of well-behaved clients on connections of their own: the duration of each request, and the
/// number of failures.
pub async fn load(address: SocketAddr) -> Result<(Vec<Duration>, usize), Failure> {
    let mut clients = JoinSet::new();
    let end = Instant::now() + ROUND;
    for _ in 0..HONEST {
        clients.spawn(async move {
            let (mut times, mut errors) = (Vec::new(), 0);
            while Instant::now() < end {
                let Ok(mut stream) = TcpStream::connect(address).await else {
                    errors += 1;
                    continue;
                };
                while Instant::now() < end {
                    let start = Instant::now();
                    if !matches!(timeout(TIMEOUT, hit(&mut stream)).await, Ok(Ok(()))) {
                        errors += 1;
                        break;
                    }
                    times.push(start.elapsed());
                    sleep(Duration::from_millis(2)).await;
                }
            }
            (times, errors)
        });
    }
    let results = clients.join_all().await;
    let errors = results.iter().map(|(_, errors)| errors).sum();
    let mut times: Vec<Duration> = results.into_iter().flat_map(|(times, _)| times).collect();
    times.sort_unstable();
    Ok((times, errors))
}

async fn hit(stream: &mut TcpStream) -> Result<(), Failure> {
    stream.write_all(HIT.as_bytes()).await?;
    let (mut chunk, mut last) = ([0; 2048], 0);
    while last != b'}' {
        let length = stream.read(&mut chunk).await?;
        last = chunk.get(..length).and_then(<[u8]>::last).copied().ok_or("closed")?;
    }
    Ok(())
}

/// The number of requests to the admin listener without an answer within a second.
async fn ask_admin(admin: SocketAddr) -> Result<usize, Failure> {
    let mut missing = 0;
    for _ in 0..40 {
        let ask = async {
            let mut stream = TcpStream::connect(admin).await?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200"))
        };
        missing += usize::from(!matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true))));
        sleep(Duration::from_millis(100)).await;
    }
    Ok(missing)
}

/// The time until the gateway closed this connection; `None` beyond twice its timeout and 5 s.
async fn besiege(address: SocketAddr, besieger: Besieger) -> Option<Duration> {
    let start = Instant::now();
    let siege = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(address).await?;
        match besieger {
            Besieger::Idle => {
                stream.read_u8().await?;
            }
            Besieger::SlowHead => {
                let head = HIT.bytes().take(HIT.len() - 2).chain(std::iter::repeat(b'x'));
                // The clients send at different times: a thousand bytes at once would be a burst.
                sleep(Duration::from_millis(fastrand::u64(0..100))).await;
                for byte in head {
                    stream.write_all(&[byte]).await?;
                    sleep(Duration::from_millis(100)).await;
                }
            }
            Besieger::SlowReader => {
                let ask = "GET /v1/tasks/r HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10);
                stream.write_all(ask.as_bytes()).await?;
                let mut few = [0; 10];
                loop {
                    stream.read_exact(&mut few).await?;
                    sleep(Duration::from_millis(100)).await;
                    // Received bytes can be read even after a reset, which only a write reports.
                    stream.write_all(b"x").await?;
                }
            }
            Besieger::Unread => {
                stream.write_all(STREAM.as_bytes()).await?;
                loop {
                    sleep(Duration::from_millis(500)).await;
                    // If the gateway has closed the connection, it answers this write by a reset.
                    stream.write_all(b"x").await?;
                }
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let ended = timeout(TIMEOUT * 2 + Duration::from_secs(5), siege).await;
    ended.ok().map(|_| start.elapsed())
}

pub fn part(times: &[Duration], percent: usize) -> Duration {
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    part(&times, 50)
}
