//! Downloads of a long film by slow readers, and their effect on other clients and on the gateway's memory.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};

use taskgate_bench::Gateway;

use crate::readers::{load, median, ms, part};
use crate::{Failure, upstream};

const READERS: usize = 200;
const ROUNDS: usize = 5;
/// The bytes that each reader takes every 100 ms.
const SIPS: [usize; 2] = [2 * 1024, 20 * 1024];
/// Invariant 9 with the default settings, in MiB: 1.2 × `cache.max_bytes`, and `max_in_flight` × `max_body`.
const BOUND: f64 = 1.2 * 192.0 + 64.0;

const SETTINGS: &str = r#"
[upstream]
routes = ["/v1/tasks/{id}", { path = "/v1/videos/{id}/content", content = true }]
[content]
max_downloads = 200
[limits]
max_downloads = 0
"#;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!(
        "| slow readers of 100 MB | highest RSS | bound | honest p50 | honest p99 | control p99 | p99 / control | honest errors |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for sip in SIPS {
        println!("{}", row(sip).await?);
    }
    println!("Medians of {ROUNDS} rounds of 4 s, control and readers in turn.\n");
    Ok(())
}

async fn row(sip: usize) -> Result<String, Failure> {
    let (address, _asked) = upstream::start().await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("taskgate.toml");
    std::fs::write(&file, SETTINGS)?;
    let gateway = Gateway::start(address, &[("TASKGATE_CONFIG", &file.display().to_string())])?;
    load(gateway.address).await?;
    let before = gateway.rss_kib()? as f64 / 1024.0;
    let (mut controls, mut p50s, mut p99s, mut ratios, mut errors) = (vec![], vec![], vec![], vec![], 0);
    let (mut most, mut ended) = (0f64, 0);
    for _ in 0..ROUNDS {
        let (times, _) = load(gateway.address).await?;
        let control = part(&times, 99);
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            readers.spawn(read_slowly(gateway.address, sip));
        }
        sleep(Duration::from_millis(500)).await;
        let mut honest = Box::pin(load(gateway.address));
        let (times, failed) = loop {
            match timeout(Duration::from_millis(100), &mut honest).await {
                Ok(done) => break done?,
                Err(_) => most = most.max(gateway.rss_kib()? as f64 / 1024.0),
            }
        };
        ended += std::iter::from_fn(|| readers.try_join_next()).count();
        readers.shutdown().await;
        controls.push(control);
        p50s.push(part(&times, 50));
        p99s.push(part(&times, 99));
        ratios.push(part(&times, 99).as_secs_f64() / control.as_secs_f64());
        errors += failed;
    }
    ratios.sort_by(f64::total_cmp);
    let bound = before + BOUND + (READERS * 16) as f64 / 1024.0;
    Ok(format!(
        "| {READERS} at {} KiB/s, of whom {ended} were cut | {most:.0} MiB | {bound:.0} MiB | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ({:.2}–{:.2}) | {errors} |",
        sip * 10 / 1024,
        ms(median(p50s)),
        ms(median(p99s)),
        ms(median(controls)),
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
    ))
}

/// Reads a film slowly, until it is over or the gateway has had enough.
async fn read_slowly(gateway: SocketAddr, sip: usize) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(64 * 1024)?;
    let mut stream = socket.connect(gateway).await?;
    stream.write_all(b"GET /v1/videos/f/content HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut sip = vec![0; sip];
    // The readers sip at different times.
    sleep(Duration::from_millis(fastrand::u64(0..100))).await;
    loop {
        stream.read_exact(&mut sip).await?;
        sleep(Duration::from_millis(100)).await;
    }
}
