//! More clients than the system has descriptors for: the program goes on, the admin listener answers, and who
//! comes after them is served.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{KEY, Program, Reply, Upstream, get, run, until};

/// The program with so few descriptors, soft and hard.
fn serve(upstream: &Upstream, descriptors: u32) -> (Program, SocketAddr, SocketAddr) {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -n {descriptors} && exec \"$0\" serve"),
            env!("CARGO_BIN_EXE_taskgate"),
        ])
        .current_dir("/")
        .env_clear()
        .env("LEMONDATA_API_KEY", KEY)
        .env("TASKGATE_ACCESS__MODE", "open")
        .env("TASKGATE_UPSTREAM__BASE_URL", upstream.base_url())
        .env("TASKGATE_SERVER__LISTEN", "127.0.0.1:0")
        .env("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0");
    let program = run(command);
    program.wait_for_log("fewer open files than the settings need");
    let (main, admin) = program.addresses();
    (program, main, admin)
}

async fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    open
}

/// Asks for `/metrics` over an open connection: another one would find no descriptor.
async fn metrics(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "closed");
        let text = String::from_utf8_lossy(&seen);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            return body.to_owned();
        }
    }
}

#[tokio::test]
async fn a_crowd_takes_no_descriptor_from_the_admin_listener() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let (program, main, admin) = serve(&upstream, 64);
    let mut crowd = connect(main, 200).await;
    for (number, client) in crowd.iter_mut().enumerate() {
        let ids: String = (0..10).map(|id| format!("&id=t{number}-{id}")).collect();
        let head = format!("GET /v1/tasks?{ids} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        // One address: its older connections that are idle have given way to its newer ones.
        let _ = client.write_all(head.as_bytes()).await;
    }
    for _ in 0..50 {
        assert_eq!(get(admin, "/livez").await.status, 200);
    }
    let mut served = 0;
    for client in &mut crowd {
        let mut first = [0; 12];
        let is_answered = client.read_exact(&mut first).await.is_ok();
        served += usize::from(is_answered && &first == b"HTTP/1.1 200");
    }
    assert!(served > 0, "and those who are in are served");
    for _ in 0..50 {
        assert_eq!(get(admin, "/livez").await.status, 200);
    }
    drop(crowd);
    assert_eq!(get(main, "/livez").await.status, 200);
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("could not be accepted"), "it never ran out: {log}");
}

#[tokio::test]
async fn without_a_descriptor_it_waits_for_one_and_says_so_once() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let (program, main, admin) = serve(&upstream, 64);
    // Operators may take more than is set aside for them.
    let mut crowd = connect(admin, 64).await;
    program.wait_for_log("could not be accepted");
    let mut waiting = connect(main, 1).await;
    waiting[0].write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until("both listeners have tried some ten times", async || {
        let page = metrics(&mut crowd[0]).await;
        let failed = |listener| {
            let sample = format!("taskgate_connections_failed_total{{listener=\"{listener}\"}} ");
            page.lines().find_map(|line| line.strip_prefix(&sample)?.parse::<u64>().ok())
        };
        (failed("main") >= Some(10) && failed("admin") >= Some(10)).then_some(())
    })
    .await;
    drop(crowd);
    let mut first = [0; 12];
    waiting[0].read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(get(admin, "/livez").await.status, 200);
    program.signal("TERM");
    let (code, _, log) = program.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.matches("could not be accepted").count() <= 2, "a line a listener at most: {log}");
}
