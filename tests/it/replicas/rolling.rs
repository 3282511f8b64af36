//! Replicas that restart one after the other under load, as a new version is rolled out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::redis_server::RedisServer;
use crate::support::{Events, Program, Reply, Seen, Upstream, get, serve, until};

/// A status and a body by any of the replicas. Where one refuses or ends the connection before it has answered, the next
/// one is asked, as a balancer does.
async fn by_any(replicas: &[SocketAddr], first: usize, path: &str) -> (u16, String) {
    let asking = async {
        for number in first.. {
            if let Some(answer) = by_one(replicas[number % replicas.len()], path).await {
                return answer;
            }
        }
        unreachable!()
    };
    timeout(Duration::from_secs(30), asking).await.expect("no replica answers")
}

async fn by_one(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Watches a task to its end on one replica after the other: how often the end was told.
async fn watch(replicas: [SocketAddr; 3], first: usize, path: String) -> usize {
    let (mut last_id, mut ends) = (String::new(), 0);
    for number in first.. {
        let address = replicas[number % replicas.len()];
        // It may be about to restart.
        if TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let resume = if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
        let Some(mut events) = Events::try_open(address, &path, &resume).await else { continue };
        if events.status == 204 {
            return ends;
        }
        assert_eq!(events.status, 200, "{}", events.head);
        loop {
            match events.next().await {
                Seen::Event { name, id, data } => {
                    assert!(name.is_empty() || name == "estimate", "{name}: {data}");
                    ends += usize::from(data.contains("completed"));
                    last_id = id;
                }
                Seen::Comment | Seen::Retry(_) => {}
                Seen::End => break,
            }
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_costs_no_error_and_no_request_for_what_is_finished() {
    let Some(redis) = RedisServer::start() else { return };
    let is_over = Arc::<AtomicBool>::default();
    let over = Arc::clone(&is_over);
    let upstream = Upstream::start(move |number, request| {
        let is_done =
            request.contains("/done") || (request.contains("/watched") && over.load(Ordering::Relaxed));
        let status = if is_done { "completed" } else { "running" };
        Reply::json(&format!(r#"{{"status":"{status}","n":{number}}}"#))
    })
    .await;
    let (base_url, redis_url) = (upstream.base_url(), redis.url());
    let start = |listen: &str| -> (Program, SocketAddr, SocketAddr) {
        serve(
            &base_url,
            &[
                ("TASKGATE_SHARED__REDIS_URL", redis_url.as_str()),
                ("TASKGATE_POLLING__FRESH_FOR", "200ms"),
                ("TASKGATE_POLLING__MAX_INTERVAL", "200ms"),
                ("TASKGATE_SERVER__LISTEN", listen),
            ],
        )
    };
    let shares = async |admin: SocketAddr| {
        until("it shares", async || (get(admin, "/readyz").await.text() == "ready\n").then_some(())).await;
    };
    let mut programs = Vec::new();
    for _ in 0..3 {
        let (program, address, admin) = start("127.0.0.1:0");
        shares(admin).await;
        programs.push((program, address));
    }
    let addresses = [programs[0].1, programs[1].1, programs[2].1];
    for number in 0..20 {
        assert_eq!(by_any(&addresses, number, &format!("/v1/tasks/done{number}")).await.0, 200);
    }
    let is_rolled = Arc::<AtomicBool>::default();
    let polls = Arc::<AtomicUsize>::default();
    let mut polling = JoinSet::new();
    for number in 0..30_usize {
        let (is_rolled, polls) = (Arc::clone(&is_rolled), Arc::clone(&polls));
        polling.spawn(async move {
            while !is_rolled.load(Ordering::Relaxed) {
                let kind = if number % 3 == 0 { "done" } else { "live" };
                let (status, body) =
                    by_any(&addresses, number, &format!("/v1/tasks/{kind}{}", number % 10)).await;
                assert_eq!(status, 200, "{body}");
                polls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
    let mut watching = JoinSet::new();
    for number in 0..9 {
        watching.spawn(watch(addresses, number, format!("/v1/tasks/watched{}", number % 3)));
    }
    for (program, address) in std::mem::take(&mut programs) {
        let polled = polls.load(Ordering::Relaxed);
        until("clients poll", async || (polls.load(Ordering::Relaxed) > polled + 100).then_some(())).await;
        program.signal("TERM");
        // The port is taken until it has ended; no other program waits for it.
        let ended = tokio::task::spawn_blocking(move || program.end()).await.unwrap();
        assert_eq!(ended.0, Some(0), "{}", ended.2);
        let (program, again, admin) = start(&address.to_string());
        assert_eq!(again, address);
        shares(admin).await;
        programs.push((program, address));
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(ends) = watching.join_next().await {
        assert_eq!(ends.unwrap(), 1, "an end is told once");
    }
    is_rolled.store(true, Ordering::Relaxed);
    while let Some(polling) = polling.join_next().await {
        polling.unwrap();
    }
    for number in 0..60 {
        assert_eq!(by_any(&addresses, number / 20, &format!("/v1/tasks/done{}", number % 20)).await.0, 200);
    }
    let finished = upstream.times().iter().filter(|(_, path)| path.contains("/done")).count();
    assert_eq!(finished, 20, "one request for each finished task, from the first start on");
}
