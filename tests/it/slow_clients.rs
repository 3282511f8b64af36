//! The timeouts that end a connection, the activity that does not, and the answers while all places are taken.
//! Each rule is short where it is tried, and all others are too long to have ended anything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{Events, Gateway, QUICK, Reply, Seen, Upstream, gateway, get};

const LIMIT: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A gateway whose timeouts are 10 minutes, save these.
async fn strict(upstream: &Upstream, short: &[(&str, &str)]) -> Gateway {
    let long = ["header_read_timeout", "idle_timeout", "write_stall_timeout"];
    let long = long.map(|name| (format!("server.{name}"), "10m"));
    let mut settings: Vec<(&str, &str)> = QUICK.to_vec();
    settings.extend(long.iter().map(|(name, value)| (name.as_str(), *value)));
    for (name, value) in short {
        settings.retain(|(known, _)| known != name);
        settings.push((name, value));
    }
    gateway(upstream, &settings).await
}

async fn finished() -> Upstream {
    Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await
}

/// An upstream whose only task has another state each time, of `size` bytes and more.
async fn restless(size: usize) -> Upstream {
    Upstream::start(move |number, _| {
        Reply::json(&format!(r#"{{"status":"processing","n":{number},"x":"{}"}}"#, "x".repeat(size)))
    })
    .await
}

/// Waits for the other side's end, whatever comes before it.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let _ = timeout(LIMIT, stream.read_to_end(&mut seen)).await.expect("the connection stays open");
    seen
}

/// Two connections one after the other that end by the timeout of those who never ask: so long, and longer, is what has
/// begun to wait before.
async fn outlast_silence(address: SocketAddr) {
    for _ in 0..2 {
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(closed(&mut silent).await, b"");
    }
}

/// The same by the timeout between requests.
async fn outlast_idleness(address: SocketAddr) {
    for _ in 0..2 {
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut idle).await);
        assert_eq!(closed(&mut idle).await, b"");
    }
}

/// One request over an open connection: true where it was answered.
async fn ask(stream: &mut TcpStream) -> bool {
    if stream.write_all(GET).await.is_err() {
        return false;
    }
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        let mut chunk = [0; 1024];
        match timeout(LIMIT, stream.read(&mut chunk)).await.expect("no answer") {
            Ok(0) | Err(_) => return false,
            Ok(length) => seen.extend_from_slice(&chunk[..length]),
        }
    }
    seen.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_as_a_slow_head_is() {
    let upstream = finished().await;
    let gateway = strict(&upstream, &[("server.header_read_timeout", "200ms")]).await;
    for address in [gateway.address, gateway.admin] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(closed(&mut silent).await, b"");
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_closed_in_the_midst_of_it() {
    let upstream = finished().await;
    let gateway = strict(&upstream, &[("server.header_read_timeout", "200ms")]).await;
    for before in [&b""[..], GET] {
        let mut slow = TcpStream::connect(gateway.address).await.unwrap();
        slow.write_all(before).await.unwrap();
        let (mut read, mut write) = slow.split();
        let trickle = async {
            let mut head = b"GET /v1/tasks/a HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
            while write.write_all(&[*head.next().unwrap()]).await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut seen = Vec::new();
        tokio::select! {
            _ = read.read_to_end(&mut seen) => {}
            () = trickle => {}
            () = sleep(LIMIT) => panic!("the connection stays open"),
        }
        let answers = String::from_utf8_lossy(&seen).matches("HTTP/1.1 200").count();
        assert_eq!(answers, usize::from(!before.is_empty()));
    }
}

#[tokio::test]
async fn between_requests_only_the_idle_timeout_counts() {
    let upstream = finished().await;
    let gateway = strict(&upstream, &[("server.header_read_timeout", "500ms")]).await;
    let mut patient = TcpStream::connect(gateway.address).await.unwrap();
    for _ in 0..3 {
        assert!(ask(&mut patient).await, "an idle connection outlives header_read_timeout");
        outlast_silence(gateway.address).await;
    }
    let gateway = strict(&upstream, &[("server.idle_timeout", "200ms")]).await;
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    outlast_idleness(gateway.address).await;
    assert!(ask(&mut idle).await, "the first request has header_read_timeout");
    assert_eq!(closed(&mut idle).await, b"", "and then it is idle");
}

#[tokio::test]
async fn a_head_in_two_parts_gets_its_answer() {
    let upstream = finished().await;
    // Long enough for the first part to come before it is over, however busy the machine is.
    let gateway = strict(&upstream, &[("server.idle_timeout", "2s")]).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    assert!(ask(&mut stream).await);
    let (first, rest) = GET.split_at(20);
    stream.write_all(first).await.unwrap();
    outlast_idleness(gateway.address).await;
    stream.write_all(rest).await.unwrap();
    let seen = closed(&mut stream).await;
    assert!(seen.starts_with(b"HTTP/1.1 200"), "a head that has begun is not idle");
}

#[tokio::test]
async fn who_is_being_answered_has_no_deadline() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let short = [
        ("server.header_read_timeout", "300ms"),
        ("server.idle_timeout", "300ms"),
        ("polling.heartbeat", "100ms"),
    ];
    let gateway = strict(&upstream, &short).await;
    let poll = get(gateway.address, "/v1/tasks/a?wait=1").await;
    assert_eq!((poll.status, poll.text().as_str()), (200, r#"{"status":"processing"}"#));
    let mut stream = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let mut comments = 0;
    while comments < 10 {
        match stream.next_or_comment().await {
            Seen::Comment => comments += 1,
            Seen::End => panic!("closed after {comments} heartbeats"),
            _ => {}
        }
    }
}

/// A connection that will never be read from, with as little room as the system gives.
async fn unread(address: SocketAddr, head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Waits until the gateway has closed its side: its answer to more bytes is a reset.
async fn gone(mut stream: TcpStream) {
    let knock = async {
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, knock).await.expect("the connection stays open");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_closed() {
    let upstream = restless(200_000).await;
    let gateway = strict(&upstream, &[("server.write_stall_timeout", "200ms")]).await;
    let head = "GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    let mut honest = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let stalled = unread(gateway.address, head).await;
    tokio::select! {
        () = gone(stalled) => {}
        () = async { while honest.next().await != Seen::End {} } => panic!("the honest watcher was closed"),
    }
    assert_ne!(honest.next().await, Seen::End, "who reads is not cut off");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_closed() {
    let big = format!(r#"{{"status":"completed","x":"{}"}}"#, "x".repeat(900_000));
    let upstream = Upstream::always(Reply::json(&big)).await;
    let gateway = strict(&upstream, &[("server.write_stall_timeout", "200ms")]).await;
    let many = String::from_utf8(GET.to_vec()).unwrap().repeat(20);
    gone(unread(gateway.address, &many).await).await;
}

#[tokio::test]
async fn who_reads_a_little_now_and_then_is_told_at_once_that_it_was_closed() {
    let big = format!(r#"{{"status":"completed","x":"{}"}}"#, "x".repeat(900_000));
    let upstream = Upstream::always(Reply::json(&big)).await;
    let gateway = strict(&upstream, &[("server.write_stall_timeout", "200ms")]).await;
    let many = String::from_utf8(GET.to_vec()).unwrap().repeat(5);
    let mut slow = unread(gateway.address, &many).await;
    let trickle = async {
        let (mut few, mut read) = ([0; 10], 0);
        while slow.read_exact(&mut few).await.is_ok() {
            read += few.len();
            sleep(Duration::from_millis(20)).await;
        }
        read
    };
    let read = timeout(LIMIT, trickle).await.expect("the connection stays open");
    assert!(read < 100_000, "a reset, and not the rest of what the kernel held: {read}");
}

#[tokio::test]
async fn at_the_cap_a_client_with_every_place_is_turned_away_and_another_is_served() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let gateway = strict(&upstream, &[("server.max_connections", "2")]).await;
    let mut first = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let _second = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let answer = get(gateway.address, "/v1/tasks/a").await;
    assert_eq!((answer.status, answer.expect("connection").as_str()), (503, "close"));
    assert!(
        answer.text().contains("overloaded") && answer.header("retry-after").is_some(),
        "{}",
        answer.text()
    );
    assert_eq!(get(gateway.admin, "/livez").await.status, 200);
    // Another address holds nothing yet: the stream that is open for longest gives way.
    let mut other = from("127.0.0.2", gateway.address).await;
    assert!(ask(&mut other).await);
    assert!(matches!(first.next().await, Seen::Event { .. }));
    assert!(matches!(first.next().await, Seen::Retry(_)), "it is told to come back");
    assert!(matches!(first.next().await, Seen::End));
}

/// A connection from another address of this machine.
async fn from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn whoever_sits_idle_at_the_cap_gives_the_place_back() {
    let upstream = finished().await;
    let short = [
        ("server.max_connections", "2"),
        ("server.header_read_timeout", "200ms"),
        ("server.idle_timeout", "200ms"),
    ];
    let gateway = strict(&upstream, &short).await;
    let _silent = TcpStream::connect(gateway.address).await.unwrap();
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    assert!(ask(&mut idle).await);
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 200);
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_hold_up_the_end() {
    let upstream = finished().await;
    let gateway = strict(&upstream, &[]).await;
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    // The acceptor takes them in turn, so the silent one is in as well.
    assert!(ask(&mut idle).await);
    gateway.lifecycle.stop();
    assert!(gateway.lifecycle.drained(LIMIT).await);
    assert_eq!((closed(&mut silent).await, closed(&mut idle).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_head_is_at_most_32_kib() {
    let upstream = finished().await;
    let gateway = strict(&upstream, &[]).await;
    // A hundred of the longest paths, percent-encoded as browsers do it, beside a ticket of 8 KiB.
    let ids: String = (0..100)
        .map(|number| format!("id=%2Fv1%2Fimages%2Fgenerations%2F{}{number:03}&", "a".repeat(125)))
        .collect();
    let path = format!("/v1/tasks?{ids}ticket={}", "t".repeat(8 * 1024));
    let list = get(gateway.address, &path).await;
    assert_eq!((list.status, list.text().matches(r#""code":200"#).count()), (200, 100));
    let headers = format!("X: {}\r\n", "x".repeat(32 * 1024));
    let answer = crate::support::get_with(gateway.address, "/v1/tasks/a", &headers).await;
    assert_eq!(answer.status, 431);
}
