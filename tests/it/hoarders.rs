//! Places and memory that one client tries to hold at the cost of others: the client gives way, and is told.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{
    Events, Program, QUICK, Reply, Seen, Upstream, gateway, get, get_with, serve, until, until_metric,
};

const LIMIT: Duration = Duration::from_secs(30);
/// The size of a large task, in bytes.
const LARGE: usize = 1_000_000;

/// Ids that begin with `d` are finished, all others live; every body is large, and tells its path.
async fn large() -> Upstream {
    Upstream::start(|_, request| {
        let path = request.split(' ').nth(1).unwrap();
        let status = if path.contains("/d") { "completed" } else { "processing" };
        Reply::json(&format!(r#"{{"status":"{status}","path":"{path}","x":"{}"}}"#, "x".repeat(LARGE)))
    })
    .await
}

/// The program with a small memory, its addresses, and its resident memory in MiB.
struct Small {
    program: Program,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Small {
    fn start(upstream: &Upstream) -> Self {
        let extra = [
            ("TASKGATE_UPSTREAM__MAX_IN_FLIGHT", "8"),
            ("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "1000000"),
            ("TASKGATE_CACHE__MAX_BYTES", "32MiB"),
            // Freed memory goes back at once: it is no client's, and how much of it stays is chance.
            ("MIMALLOC_PURGE_DELAY", "0"),
        ];
        let (program, address, admin) = serve(&upstream.base_url(), &extra);
        Self { program, address, admin }
    }

    fn resident_mib(&self) -> f64 {
        self.program.memory_kib("VmRSS") as f64 / 1024.0
    }

    /// The bound: `max_bytes` and a fifth, what may be in flight, and pages that are freed in part.
    async fn assert_bounded(&self, before: f64) {
        let most = before + 32.0 * 1.2 + 8.0 + 12.0;
        let now = self.resident_mib();
        assert!(now <= most, "{now} MiB, from {before}; at most {most} were to be taken");
        // A client at another address is served.
        let mut honest = connect("127.0.0.2", self.address).await;
        honest.write_all(b"GET /v1/tasks/d-honest HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut start = [0; 12];
        timeout(LIMIT, honest.read_exact(&mut start)).await.expect("it waits").unwrap();
        assert_eq!(std::str::from_utf8(&start).unwrap(), "HTTP/1.1 200");
    }
}

/// A connection from this address of the machine, whose kernel holds little: the rest stays in the gateway.
async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends a request and reads nothing.
async fn unread(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = connect("127.0.0.1", address).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn list(prefix: &str, first: usize, count: usize) -> String {
    let ids: Vec<String> = (first..first + count).map(|number| format!("id={prefix}{number}")).collect();
    format!("/v1/tasks?{}", ids.join("&"))
}

/// One request with the same id a hundred times took 399 MiB.
#[tokio::test]
async fn an_id_that_is_repeated_is_answered_once() {
    let upstream = large().await;
    let gateway = gateway(&upstream, QUICK).await;
    let ids = vec!["id=d1"; 100].join("&");
    let answer = get(gateway.address, &format!("/v1/tasks?{ids}")).await;
    assert_eq!(answer.status, 200);
    assert!((LARGE..LARGE + 1000).contains(&answer.body.len()), "{}", answer.body.len());
}

/// Twenty unread lists took 2.2 GiB.
#[tokio::test]
async fn unread_lists_are_bounded_and_the_rest_is_told() {
    let upstream = large().await;
    let small = Small::start(&upstream);
    get(small.address, "/v1/tasks/d-honest").await;
    let before = small.resident_mib();
    let mut held = Vec::new();
    for number in 0..10 {
        held.push(unread(small.address, &list("d", number * 30, 30), "").await);
    }
    until_metric(small.admin, "taskgate_requests_total{route=\"list\",outcome=\"listed\"}", 10).await;
    small.assert_bounded(before).await;
    // A client that asks for more than there is room for is told, item by item. Its former connections hold their
    // answers until the gateway has seen them end.
    drop(held);
    let text = until("some do", async || {
        let answer = get(small.address, &list("d", 0, 30)).await;
        assert_eq!(answer.status, 200);
        let text = answer.text();
        text.contains("\"path\":\"/v1/tasks/d0\",\"code\":200").then_some(text)
    })
    .await;
    assert!(text.contains("\"code\":503") && text.contains("\"code\":\"overloaded\""), "some do not fit");
}

/// Three hundred live tasks on three streams took 392 MiB, and events of finished ones were not weighed.
#[tokio::test]
async fn large_states_on_streams_are_bounded() {
    let upstream = large().await;
    let small = Small::start(&upstream);
    get(small.address, "/v1/tasks/d-honest").await;
    let before = small.resident_mib();
    let events = "Accept: text/event-stream\r\n";
    let mut held = Vec::new();
    for number in 0..3 {
        held.push(unread(small.address, &list("live", number * 40, 40), events).await);
    }
    for number in 0..60 {
        let mut read = Events::open(small.address, &format!("/v1/tasks/d{number}"), "").await;
        let seen = read.next().await;
        assert!(matches!(&seen, Seen::Event { .. } | Seen::Retry(_)), "{seen:?}");
    }
    small.assert_bounded(before).await;
    drop(held);
}

/// Heads that are never finished.
#[tokio::test]
async fn unfinished_heads_are_bounded() {
    let upstream = large().await;
    let small = Small::start(&upstream);
    get(small.address, "/v1/tasks/d-honest").await;
    let before = small.resident_mib();
    let mut held = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(small.address).await.unwrap();
        let head = format!("GET /v1/tasks/d HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(30 * 1024));
        // It may be cut while it writes.
        let _ = stream.write_all(head.as_bytes()).await;
        held.push(stream);
    }
    small.assert_bounded(before + 1000.0 * 16.0 / 1024.0).await;
}

/// Everybody comes by one proxy: whose a request is stands in its head.
#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_part_of_the_connections() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let mut settings = QUICK.to_vec();
    settings.extend([("server.max_connections", "8"), ("server.trusted_proxies", "127.0.0.0/8")]);
    let gateway = gateway(&upstream, &settings).await;
    get_with(gateway.address, "/v1/tasks/a", "X-Forwarded-For: 192.0.2.9\r\n").await;
    let greedy = "X-Forwarded-For: 192.0.2.1\r\n";
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(unread(gateway.address, "/v1/tasks/a?wait=50", greedy).await);
    }
    until_metric(gateway.admin, "taskgate_watchers", 8).await;
    let refused = get_with(gateway.address, "/v1/tasks/a", greedy).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (503, "overloaded"));
    // The proxy is told to send no further request by it.
    let mut answer = Vec::new();
    unread(gateway.address, "/v1/tasks/a", greedy).await.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(text.starts_with("http/1.1 503") && text.contains("connection: close"), "{text}");
    // An `EventSource` would never come back after a 503.
    for path in ["/v1/tasks/a", "/v1/tasks?id=a"] {
        let stream = format!("{greedy}Accept: text/event-stream\r\n");
        let told = get_with(gateway.address, path, &stream).await;
        assert!(
            told.status == 200 && told.text().contains("retry:"),
            "{path}: {} {}",
            told.status,
            told.text()
        );
    }
    // Another one is served at once, within patience.
    let honest = get_with(gateway.address, "/v1/tasks/a", "X-Forwarded-For: 192.0.2.2\r\n");
    assert_eq!(timeout(Duration::from_secs(5), honest).await.expect("it waits").status, 200);
    // The wait that is oldest is answered early, with what there is, and its connection closed behind that.
    let mut answer = Vec::new();
    timeout(LIMIT, held[0].read_to_end(&mut answer)).await.expect("it is not told").unwrap();
    let text = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(text.starts_with("http/1.1 200") && text.contains("connection: close"), "{text}");
}

/// Connections that have to give way held their sockets as long as their clients read a little now and then, and nobody
/// else was accepted.
#[tokio::test]
async fn connections_that_give_way_do_so_soon() {
    let upstream = large().await;
    let mut settings = QUICK.to_vec();
    settings.extend([("server.max_connections", "8"), ("server.write_stall_timeout", "10m")]);
    let gateway = gateway(&upstream, &settings).await;
    get(gateway.address, "/v1/tasks?id=d1&id=d2").await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(unread(gateway.address, "/v1/tasks?id=d1&id=d2", "").await);
    }
    until_metric(gateway.admin, "taskgate_requests_total{route=\"list\",outcome=\"listed\"}", 9).await;
    // Four sockets may be open beyond the limit. The next ones wait for those that give way.
    for number in 2..9 {
        let mut honest = connect(&format!("127.0.0.{number}"), gateway.address).await;
        honest.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut start = [0; 12];
        timeout(LIMIT, honest.read_exact(&mut start)).await.expect("it is not accepted").unwrap();
        held.push(honest);
    }
}

/// Two hundred streams of a hundred tasks each filled `max_tasks`, and nobody else got one.
#[tokio::test]
async fn streams_that_fill_max_tasks_give_way_and_are_told() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let mut settings = QUICK.to_vec();
    settings.extend([("polling.max_tasks", "200"), ("server.trusted_proxies", "127.0.0.0/8")]);
    let gateway = gateway(&upstream, &settings).await;
    let greedy = "X-Forwarded-For: 192.0.2.1\r\n";
    let mut streams = Vec::new();
    for number in 0..4 {
        streams.push(Events::open(gateway.address, &list("g", number * 100, 100), greedy).await);
    }
    until_metric(gateway.admin, "taskgate_tasks_wanted", 200).await;
    let honest = get_with(gateway.address, "/v1/tasks/h", "X-Forwarded-For: 192.0.2.2\r\n").await;
    assert_eq!(honest.status, 200, "{}", honest.text());
    let mut watched = Events::open(gateway.address, "/v1/tasks/h2", "X-Forwarded-For: 192.0.2.2\r\n").await;
    assert!(Events::data(&watched.next().await).contains("processing"));
    // The holder is told of the task that it has lost, and to come back.
    until("a stream is told", async || {
        for stream in &mut streams[..2] {
            if let Ok(seen) = timeout(Duration::from_millis(20), stream.next()).await
                && matches!(&seen, Seen::Event { name, data, .. } if name == "trouble" && data.contains("overloaded"))
            {
                return Some(());
            }
        }
        None
    })
    .await;
}

/// A long-lived connection's small heads add up to nothing.
#[tokio::test]
async fn many_small_heads_on_one_connection_are_no_large_one() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let mut settings = QUICK.to_vec();
    // A quarter of it, 256 KiB, is for heads and answers.
    settings.extend([("cache.max_bytes", "1MiB"), ("upstream.max_body", "32KiB")]);
    let gateway = gateway(&upstream, &settings).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!("GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(4000));
    for number in 0..200 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "request {number}: closed");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "request {number}");
    }
}

/// The gateway runs in this one thread, and so one connection at a time.
#[tokio::test]
async fn pipelined_requests_take_turns_with_those_of_others() {
    const PIPELINED: usize = 400;
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    let one = b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut answer = vec![0; 1 << 20];
    let [mut greedy, mut honest] =
        [connect("127.0.0.1", gateway.address).await, connect("127.0.0.2", gateway.address).await];
    for stream in [&mut greedy, &mut honest] {
        stream.write_all(one).await.unwrap();
        assert!(stream.read(&mut answer).await.unwrap() > 0);
    }
    greedy.write_all(&one.repeat(PIPELINED)).await.unwrap();
    honest.write_all(one).await.unwrap();
    let length = honest.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
    let mut before = Vec::new();
    while let Ok(length @ 1..) = greedy.try_read(&mut answer) {
        before.extend_from_slice(&answer[..length]);
    }
    let count = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("HTTP/1.1 200").count();
    assert!(count(&before) < 20, "{} of the greedy client's first", count(&before));
    while count(&before) < PIPELINED {
        let length = timeout(LIMIT, greedy.read(&mut answer)).await.unwrap().unwrap();
        assert!(length > 0, "each of them is answered");
        before.extend_from_slice(&answer[..length]);
    }
}
