//! An upstream that sends without end (scorecard R14): refused at `upstream.max_body`, whatever it says about its
//! length, and memory stays where it was.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{Program, get, serve, until};

const MIB: u64 = 1024 * 1024;
/// Requests at once.
const ABREAST: u64 = 8;

/// The bytes of an upstream: a beginning, and then the same again and again.
struct Flood {
    head: String,
    piece: Vec<u8>,
    pieces: u64,
}

impl Flood {
    /// Listens, and counts the bytes that somebody took.
    async fn start(self) -> (SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (flood, taken) = (Arc::new(self), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (flood, count) = (Arc::clone(&flood), Arc::clone(&count));
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(flood.head.as_bytes()).await;
                    for _ in 0..flood.pieces {
                        if stream.write_all(&flood.piece).await.is_err() {
                            return;
                        }
                        count.fetch_add(flood.piece.len() as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        (address, taken)
    }
}

/// The most memory that it ever had, in bytes.
fn peak(program: &Program) -> u64 {
    program.memory_kib("VmHWM") * 1024
}

/// Asks for several tasks at once: what each got, how much memory that took, and what the upstream got rid of.
async fn drink(flood: Flood, max_body: &str) -> (Vec<(u16, String)>, u64, u64) {
    let (upstream, taken) = flood.start().await;
    let extra = [("TASKGATE_UPSTREAM__MAX_BODY", max_body), ("TASKGATE_UPSTREAM__TIMEOUT", "20s")];
    let (program, address, _) = serve(&format!("http://{upstream}"), &extra);
    assert_eq!(get(address, "/livez").await.status, 200);
    let before = peak(&program);
    let mut requests = JoinSet::new();
    for number in 0..ABREAST {
        requests.spawn(async move { get(address, &format!("/v1/tasks/t{number}")).await });
    }
    let answers = requests.join_all().await;
    let answers = answers.iter().map(|answer| (answer.status, answer.error_code())).collect();
    (answers, peak(&program) - before, taken.load(Ordering::Relaxed))
}

fn refused(count: u64) -> Vec<(u16, String)> {
    vec![(502, "upstream_invalid_response".to_owned()); usize::try_from(count).unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_and_endless_chunks_are_refused_at_the_cap() {
    let plain = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let spaces = vec![b' '; 0x10000];
    let chunk = [b"10000\r\n", spaces.as_slice(), b"\r\n"].concat();
    let start = r#"{"status":"completed","x":""#;
    let pieces = 1024 * MIB / 0x10000;
    let floods = [
        Flood {
            head: format!("{plain}Content-Length: {}\r\n\r\n", 1024 * MIB),
            piece: spaces.clone(),
            pieces,
        },
        Flood { head: format!("{plain}Transfer-Encoding: chunked\r\n\r\n"), piece: chunk, pieces: u64::MAX },
        // To the end of the connection.
        Flood { head: format!("{plain}\r\n{start}"), piece: spaces, pieces: u64::MAX },
    ];
    for flood in floods {
        let head = flood.head.clone();
        let (answers, grown, taken) = drink(flood, "1MiB").await;
        assert_eq!(answers, refused(ABREAST), "{head}");
        // A megabyte each, twice over while it grows, and as much again for what the allocator keeps.
        assert!(grown <= 4 * ABREAST * MIB, "{} MiB for {head}", grown / MIB);
        // The sockets' buffers belong to the system.
        assert!(taken < 16 * ABREAST * MIB, "{} MiB were taken of {head}", taken / MIB);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_heads_are_refused_too() {
    let floods = [
        ("HTTP/1.1 200 OK\r\n", "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
        ("HTTP/1.1 200 OK\r\nX: ", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"),
    ];
    for (head, piece) in floods {
        let flood = Flood { head: head.to_owned(), piece: piece.repeat(1000).into_bytes(), pieces: u64::MAX };
        let (answers, grown, _) = drink(flood, "1MiB").await;
        assert!(answers.iter().all(|(status, _)| *status == 502), "{answers:?} {piece}");
        assert!(grown <= 4 * ABREAST * MIB, "{} MiB for {piece}", grown / MIB);
    }
}

/// Compressed zeros without end (RFC 1951, 3.2.6: fixed codes, the longest match again and again).
fn bomb(size: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    // The literal 0, then length 258 at distance 1, as often as fits a whole number of bytes.
    bits.extend([false, false, true, true, false, false, false, false]);
    let longest = [true, true, false, false, false, true, false, true, false, false, false, false, false];
    // Thirteen bits again and again: from the third byte on, thirteen bytes again and again.
    bits.extend(longest.iter().cycle().take(15 * 8 - bits.len()));
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
    let (start, again) = bytes.split_at(2);
    // RFC 1952, 2.3: magic, deflate, no flags, no time, no extras, unknown system.
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    head.iter().chain(start).chain(again.iter().cycle()).take(size).copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_is_not_unpacked() {
    let bomb = bomb(10_000_000);
    let (length, encoding) = (bomb.len(), "Content-Encoding: gzip\r\nContent-Type: application/json\r\n");
    let head = format!("HTTP/1.1 200 OK\r\n{encoding}Content-Length: {length}\r\n\r\n");
    // Under one cap it is refused for its length, under the other for not being JSON.
    for (max_body, most) in [("1MiB", 4 * ABREAST * MIB), ("16MiB", 4 * ABREAST * 16 * MIB)] {
        let flood = Flood { head: head.clone(), piece: bomb.clone(), pieces: 1 };
        let (answers, grown, _) = drink(flood, max_body).await;
        assert_eq!(answers, refused(ABREAST));
        // Unpacked it is 1.6 GB, eight times.
        assert!(grown <= most, "{} MiB under {max_body}", grown / MIB);
    }
}

/// hyper reads informational responses as long as they come. One such connection, all that a probe opens, may hold up
/// nobody; and it ends with its flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_informational_responses_end_with_the_timeout() {
    let open = Arc::new(AtomicU64::new(0));
    let upstream = early_hints(Arc::clone(&open));
    let (_program, address, _) =
        serve(&format!("http://{upstream}"), &[("TASKGATE_UPSTREAM__TIMEOUT", "3s")]);
    assert_eq!(get(address, "/v1/tasks/good").await.status, 200);
    let flood = tokio::spawn(async move { get(address, "/v1/tasks/flood").await });
    until("the flood is on", async || (open.load(Ordering::Relaxed) > 0).then_some(())).await;
    let mut hits = 0;
    while !flood.is_finished() {
        assert_eq!(get(address, "/v1/tasks/good").await.status, 200);
        hits += 1;
    }
    // On a machine with nothing else to do there are thousands.
    assert!(hits > 0, "{hits} hits while the flood was on");
    let answer = flood.await.unwrap();
    assert_eq!((answer.status, answer.error_code().as_str()), (504, "upstream_timeout"));
    until("the connection is closed", async || (open.load(Ordering::Relaxed) == 0).then_some(())).await;
}

/// An upstream that has one answer, and 103s without end for every other task. It runs on threads of its own, as
/// another machine would.
fn early_hints(open: Arc<AtomicU64>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, open) = (stream.unwrap(), Arc::clone(&open));
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let length = std::io::Read::read(&mut stream, &mut request).unwrap_or(0);
                if String::from_utf8_lossy(&request[..length]).contains("/good") {
                    let body = r#"{"status":"completed"}"#;
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all((head + body).as_bytes());
                    let _ = std::io::Read::read(&mut stream, &mut request);
                    return;
                }
                let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20_000);
                open.fetch_add(1, Ordering::Relaxed);
                while stream.write_all(hints.as_bytes()).is_ok() {}
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    address
}
