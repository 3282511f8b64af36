//! The meaning of the end of a client's side of the connection: nothing for a request that is answered as soon as it
//! can be, and for a wait or a stream that its client has left. Every other limit is too long to have ended anything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Gateway, Reply, Upstream, gateway, until_metric};

const LIMIT: Duration = Duration::from_secs(30);
const LIVE: &str = r#"{"status":"processing"}"#;
const DONE: &str = r#"{"status":"completed"}"#;
const OPEN: &str = "taskgate_connections_open{listener=\"main\"}";
const LONG: &[(&str, &str)] = &[
    ("polling.patience", "2m"),
    ("polling.max_wait", "1h"),
    ("polling.heartbeat", "10m"),
    ("upstream.timeout", "2m"),
    ("server.write_stall_timeout", "10m"),
    ("server.idle_timeout", "10m"),
];

fn ask(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// Sends bytes and ends this side; then what comes until the other side ends.
async fn send_and_end(address: SocketAddr, bytes: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    (stream, Vec::new())
}

async fn rest((mut stream, mut seen): (TcpStream, Vec<u8>)) -> String {
    let _ = timeout(LIMIT, stream.read_to_end(&mut seen)).await.expect("the connection stays open");
    String::from_utf8(seen).unwrap()
}

/// An upstream that answers when it is let, and a gateway with long limits before it.
async fn held(body: &str) -> (Upstream, Gateway, tokio::sync::watch::Sender<()>) {
    let (reply, hold) = Reply::json(body).held();
    let upstream = Upstream::always(reply).await;
    let gateway = gateway(&upstream, LONG).await;
    (upstream, gateway, hold)
}

/// `nc -N` ends its side as soon as its request is out: a hit was answered, a miss was not.
#[tokio::test]
async fn a_client_that_has_said_all_is_answered_however_long_that_takes() {
    let (upstream, gateway, hold) = held(DONE).await;
    let single = [
        ask("/v1/tasks/a", ""),
        ask("/v1/tasks/b", "Connection: close\r\n"),
        ask("/v1/tasks/c", "").replace("HTTP/1.1", "HTTP/1.0"),
        ask("/v1/tasks?id=d", ""),
        ask("/v1/tasks/e", "Origin: http://localhost:1\r\n"),
    ];
    let mut connections = Vec::new();
    for request in &single {
        connections.push(send_and_end(gateway.address, request).await);
    }
    let pipelined = ask("/v1/tasks/f", "") + &ask("/v1/tasks/f", "") + &ask("/v1/tasks/a", "");
    let pipelined = send_and_end(gateway.address, &pipelined).await;
    upstream.asked(6).await;
    until_metric(gateway.admin, OPEN, 6).await;
    drop(hold);
    for (connection, request) in connections.into_iter().zip(&single) {
        let answer = rest(connection).await;
        assert!(answer.contains(" 200 OK\r\n") && answer.contains(DONE), "{request}{answer}");
    }
    let answers = rest(pipelined).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    until_metric(gateway.admin, OPEN, 0).await;
}

#[tokio::test]
async fn a_wait_or_stream_ends_with_its_clients_side() {
    let upstream = Upstream::always(Reply::json(LIVE)).await;
    let gateway = gateway(&upstream, LONG).await;
    for request in [
        ask("/v1/tasks/a?wait=3600", ""),
        ask("/v1/tasks/a", "Prefer: wait=3600\r\n"),
        ask("/v1/tasks/a", "Accept: text/event-stream\r\n"),
        ask("/v1/tasks?id=a&id=b", "Accept: text/event-stream\r\n"),
        // A plain request before it has an answer of its own.
        ask("/v1/tasks/a", "") + &ask("/v1/tasks/a?wait=3600", ""),
    ] {
        let connection = send_and_end(gateway.address, &request).await;
        let seen = rest(connection).await;
        let plain = request.matches("GET").count() - 1;
        let is_stream = request.contains("event-stream");
        assert_eq!(seen.matches("HTTP/1.1 200").count(), plain + usize::from(is_stream), "{request}{seen}");
        until_metric(gateway.admin, "taskgate_watchers", 0).await;
        until_metric(gateway.admin, OPEN, 0).await;
    }
}

/// hyper reads no more while a request is under way, so bytes behind it hid that the client was gone: its place
/// and its interest were kept until the end of the wait, or until a heartbeat found nobody.
#[tokio::test]
async fn a_client_that_sent_more_and_left_is_noticed() {
    let upstream = Upstream::always(Reply::json(LIVE)).await;
    let gateway = gateway(&upstream, LONG).await;
    let waits = [
        ask("/v1/tasks/a?wait=3600", ""),
        ask("/v1/tasks/a", "Accept: text/event-stream\r\n"),
        ask("/v1/tasks?id=a", "Accept: text/event-stream\r\n"),
    ];
    let more = ["x".to_owned(), ask("/v1/tasks/a", ""), ask("/v1/tasks/a", "").repeat(3000)];
    for wait in &waits {
        for more in &more {
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            stream.write_all(wait.as_bytes()).await.unwrap();
            until_metric(gateway.admin, "taskgate_watchers", 1).await;
            stream.write_all(more.as_bytes()).await.unwrap();
            until_metric(gateway.admin, "taskgate_watchers", 1).await;
            drop(stream);
            until_metric(gateway.admin, "taskgate_watchers", 0).await;
            until_metric(gateway.admin, OPEN, 0).await;
        }
    }
}

/// A client that resets its connection wants no answer to any request.
#[tokio::test]
async fn a_reset_ends_every_request() {
    let (upstream, gateway, _hold) = held(DONE).await;
    for (number, request) in [
        ask("/v1/tasks/a", ""),
        ask("/v1/tasks/b", "") + &ask("/v1/tasks/b", ""),
        ask("/v1/tasks/c?wait=3600", ""),
        ask("/v1/tasks/d", "Accept: text/event-stream\r\n"),
    ]
    .iter()
    .enumerate()
    {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        upstream.asked(number + 1).await;
        stream.set_zero_linger().unwrap();
        drop(stream);
        until_metric(gateway.admin, OPEN, 0).await;
    }
}
