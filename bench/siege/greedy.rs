//! R16 and R17: one client that takes as much memory, or as many places, as it can get, and its effect on another
//! client, which has another address.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use taskgate_bench::Gateway;

use crate::readers::{load, ms, part};
use crate::{Failure, upstream};

/// The address of the greedy client. The other client has the one that connections have by themselves.
const GREEDY: &str = "127.0.0.2:0";
/// The default of `cache.max_bytes`, of `upstream.max_in_flight` × `upstream.max_body`, in MiB.
const MAX_BYTES: f64 = 192.0;
const IN_FLIGHT: f64 = 64.0;
/// A large budget that is not endless: the bodies should not keep both cores busy by themselves.
const BUDGET: [(&str, &str); 2] =
    [("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "6000"), ("TASKGATE_BUDGET__BURST", "100")];
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that a greedy client sends, each over a connection of its own, without reading an answer.
struct Attack {
    name: &'static str,
    /// `GET …` with its header fields, by the number of the request.
    request: fn(usize) -> String,
    count: usize,
    /// Tasks that somebody wants because of it.
    tasks: usize,
}

/// Memory: with the default settings.
const ON_MEMORY: [Attack; 6] = [
    Attack {
        name: "20 lists of one 1 MB task, 100 times",
        request: |_| list("d", 0, 1).repeat_id(),
        count: 20,
        tasks: 1,
    },
    Attack {
        name: "20 lists of 100 finished 1 MB tasks each",
        request: |n| list("d", n * 100, 100).plain(),
        count: 20,
        tasks: 2000,
    },
    Attack {
        name: "3 streams of 100 live 1 MB tasks each",
        request: |n| list("b", n * 100, 100).stream(),
        count: 3,
        tasks: 300,
    },
    Attack {
        name: "200 streams of finished 1 MB tasks",
        request: |n| list("d", n, 1).stream(),
        count: 200,
        tasks: 200,
    },
    Attack {
        name: "500 GETs of finished 600 KB tasks",
        request: |n| list("c", n, 1).plain(),
        count: 500,
        tasks: 500,
    },
    Attack {
        name: "9,000 heads of 30 KiB, never finished",
        request: |_| unfinished_head(),
        count: 9000,
        tasks: 0,
    },
];

/// Places: with a limit that the attack more than fills.
const ON_PLACES: [(Attack, &str, &str); 3] = [
    (
        Attack {
            name: "200 streams of 100 live tasks each",
            request: |n| list("l", n * 100, 100).stream(),
            count: 200,
            tasks: 20_000,
        },
        "TASKGATE_POLLING__MAX_TASKS",
        "10000",
    ),
    (
        Attack {
            name: "260 lists of 100 live tasks each",
            request: |n| list("l", n * 100, 100).plain(),
            count: 260,
            tasks: 26_000,
        },
        "TASKGATE_POLLING__MAX_TASKS",
        "10000",
    ),
    (
        Attack {
            name: "400 long-polls of one task",
            request: |_| "GET /v1/tasks/l?wait=50 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            count: 400,
            tasks: 1,
        },
        "TASKGATE_SERVER__MAX_CONNECTIONS",
        "300",
    ),
];

/// The ids of a list.
struct List(Vec<String>);

fn list(kind: &str, first: usize, count: usize) -> List {
    List((first..first + count).map(|number| format!("id={kind}{number}")).collect())
}

impl List {
    fn repeat_id(self) -> String {
        let ids = self.0.iter().cycle().take(100).cloned().collect();
        Self(ids).plain()
    }

    fn plain(self) -> String {
        format!("GET /v1/tasks?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.0.join("&"))
    }

    fn stream(self) -> String {
        let ids = self.0.join("&");
        format!("GET /v1/tasks?{ids} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    }
}

fn unfinished_head() -> String {
    format!("GET /v1/tasks/h HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(30 * 1024))
}

#[expect(clippy::print_stdout, reason = "the tables are what it is for")]
pub async fn run() -> Result<(), Failure> {
    println!(
        "| one client's requests, unread | highest RSS | bound | honest p50 | honest p99 | p99 if that client reads | unread / read | p99 without it | honest errors |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for attack in &ON_MEMORY {
        println!("{}", memory_row(attack).await?);
    }
    println!(
        "\nThe budget is 6,000 a minute. The bound: RSS before + 1.2 × `max_bytes` + `max_in_flight` × `max_body` + 16 KiB a connection + 1 KiB a wanted task.\n"
    );
    println!(
        "| one client's requests | limit | another's new task | its new stream | its next connection's hit | at most |"
    );
    println!("|---|---|--:|--:|--:|--:|");
    for (attack, limit, value) in &ON_PLACES {
        println!("{}", places_row(attack, limit, value).await?);
    }
    println!();
    Ok(())
}

async fn memory_row(attack: &Attack) -> Result<String, Failure> {
    let (address, _asked) = upstream::start().await?;
    let gateway = Gateway::start(address, &BUDGET)?;
    load(gateway.address).await?;
    let before = gateway.rss_kib()? as f64 / 1024.0;
    let (times, _) = load(gateway.address).await?;
    let control = part(&times, 99);
    let mut held = Vec::new();
    for number in 0..attack.count {
        held.push(send(gateway.address, &(attack.request)(number)).await?);
    }
    let mut honest = Box::pin(load(gateway.address));
    let mut most = 0f64;
    let (times, errors) = loop {
        match timeout(Duration::from_millis(100), &mut honest).await {
            Ok(done) => break done?,
            Err(_) => most = most.max(gateway.rss_kib()? as f64 / 1024.0),
        }
    };
    let read = read_p99(attack, address).await?;
    let kib = (attack.count * 16 + attack.tasks) as f64;
    let bound = before + 1.2 * MAX_BYTES + IN_FLIGHT + kib / 1024.0;
    let (p50, p99) = (part(&times, 50), part(&times, 99));
    Ok(format!(
        "| {} | {most:.0} MiB | {bound:.0} MiB | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} | {:.2} ms | {errors} |",
        attack.name,
        ms(p50),
        ms(p99),
        ms(read),
        p99.as_secs_f64() / read.as_secs_f64(),
        ms(control),
    ))
}

/// The honest p99 beside a client that sends the same requests and reads its answers: what the bodies cost by
/// themselves, which are as many.
async fn read_p99(attack: &Attack, upstream: SocketAddr) -> Result<Duration, Failure> {
    let gateway = Gateway::start(upstream, &BUDGET)?;
    load(gateway.address).await?;
    let mut readers = JoinSet::new();
    for number in 0..attack.count {
        let mut stream = send(gateway.address, &(attack.request)(number)).await?;
        readers.spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
    }
    let (times, _) = load(gateway.address).await?;
    Ok(part(&times, 99))
}

async fn places_row(attack: &Attack, limit: &str, value: &str) -> Result<String, Failure> {
    let (address, _asked) = upstream::start().await?;
    let gateway = Gateway::start(address, &[(limit, value)])?;
    let mut held = Vec::new();
    for number in 0..attack.count {
        // Those beyond the limit are turned away, or others for their sake.
        if let Ok(stream) = send(gateway.address, &(attack.request)(number)).await {
            held.push(stream);
        }
    }
    sleep(Duration::from_secs(2)).await;
    let task = answered(gateway.address, "/v1/tasks/l-honest", "", "\"processing\"").await?;
    let events = "Accept: text/event-stream\r\n";
    let stream = answered(gateway.address, "/v1/tasks/l-watched", events, "\"processing\"").await?;
    answered(gateway.address, "/v1/tasks/h", "", "\"completed\"").await?;
    let hit = answered(gateway.address, "/v1/tasks/h", "", "\"completed\"").await?;
    drop(held);
    let limit = limit.trim_start_matches("TASKGATE_").replace("__", ".").to_lowercase();
    Ok(format!(
        "| {} | `{limit}` = {value} | {:.1} ms | {:.1} ms | {:.1} ms | {} ms |",
        attack.name,
        ms(task),
        ms(stream),
        ms(hit),
        PATIENCE.as_millis()
    ))
}

/// Sends a request from the greedy client's address. Its kernel holds little of the answer.
async fn send(to: SocketAddr, request: &str) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(GREEDY.parse()?)?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(to).await?;
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// The time until a new connection's request has an answer that holds this word.
///
/// # Errors
/// There is none within patience.
async fn answered(to: SocketAddr, path: &str, headers: &str, word: &str) -> Result<Duration, Failure> {
    let start = Instant::now();
    let ask = async {
        let mut stream = TcpStream::connect(to).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains(word) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(format!("{path}: {}", String::from_utf8_lossy(&answer)).into());
            }
        }
        Ok::<_, Failure>(start.elapsed())
    };
    timeout(PATIENCE, ask).await.map_err(|_| format!("{path}: no answer in time"))?
}
