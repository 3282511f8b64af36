//! Answers of another task (invariant 12, scorecard R18): an upstream that sends a second response on a kept
//! connection, early or late, and upstreams that name a task by other ids than the path's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use taskgate::core::{hex, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{
    Answer, EAGER, Reply, Upstream, gateway, gateway_at, get, get_with, request, serve, until,
};

/// When the second response to a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    /// In the segment of the first.
    AtOnce,
    After(Duration),
}

const SECONDS: [Second; 4] = [
    Second::AtOnce,
    Second::After(Duration::from_millis(1)),
    Second::After(Duration::from_millis(5)),
    Second::After(Duration::from_millis(20)),
];

/// An upstream that answers each request on a kept connection twice. Dropped, its port is closed.
struct Stutterer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    acceptor: JoinHandle<()>,
}

impl Stutterer {
    /// Answers by `body`, which gets the id of the path, after `delay`.
    async fn start(
        second: Second,
        delay: Duration,
        body: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (asked, count) = (Arc::clone(&requests), Arc::clone(&open));
        let body = Arc::new(body);
        let acceptor = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let connection = stutter(stream, second, delay, Arc::clone(&body), Arc::clone(&asked));
                let count = Arc::clone(&count);
                connections.spawn(async move {
                    connection.await;
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, requests, open, acceptor }
    }

    fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Stutterer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn stutter(
    stream: TcpStream,
    second: Second,
    delay: Duration,
    body: Arc<impl Fn(&str) -> String>,
    asked: Arc<AtomicUsize>,
) {
    stream.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let (responses, mut queue) = mpsc::unbounded_channel::<String>();
    tokio::spawn(async move {
        while let Some(response) = queue.recv().await {
            if writer.write_all(response.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut pending = Vec::new();
    loop {
        while !pending.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut chunk = [0; 4096];
            match reader.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(length) => pending.extend_from_slice(&chunk[..length]),
            }
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let request = String::from_utf8(std::mem::take(&mut pending)).unwrap();
        let path = request.split(' ').nth(1).unwrap();
        let body = body(path.rsplit('/').next().unwrap());
        let length = body.len();
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        tokio::time::sleep(delay).await;
        let now = if second == Second::AtOnce { response.repeat(2) } else { response.clone() };
        if responses.send(now).is_err() {
            return;
        }
        if let Second::After(wait) = second {
            let responses = responses.clone();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = responses.send(response);
            });
        }
    }
}

/// A task as LemonData shows it: under both of its names.
fn shown(id: &str, status: &str) -> String {
    format!(r#"{{"id":"{id}","task_id":"{id}","status":"{status}"}}"#)
}

/// The outcomes of the requests of one test.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    own: usize,
    alien: usize,
    refused: usize,
}

impl Tally {
    /// `id` is what the task's own body has.
    fn count(&mut self, id: &str, answer: &Answer) {
        if answer.status == 200 {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            if body["id"] == id { self.own += 1 } else { self.alien += 1 }
        } else {
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert_eq!(answer.error_code(), "upstream_invalid_response");
            self.refused += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_response_is_never_taken_for_the_next_tasks() {
    let mut tallies = BTreeMap::new();
    for (number, second) in SECONDS.into_iter().enumerate() {
        for status in ["processing", "completed"] {
            let body = move |id: &str| shown(id, status);
            let upstream = Stutterer::start(second, Duration::from_millis(30), body).await;
            let gateway = gateway_at(&upstream.base_url(), EAGER).await;
            let mut tally = Tally::default();
            let ids: Vec<String> = (0..20).map(|task| format!("t{task}")).collect();
            for id in &ids {
                tally.count(id, &get(gateway.address, &format!("/v1/tasks/{id}")).await);
            }
            // The states that are kept are right, and each refused request gets its own in the end.
            for id in &ids {
                let looked = async || {
                    let answer = get(gateway.address, &format!("/v1/tasks/{id}")).await;
                    tally.count(id, &answer);
                    (answer.status == 200).then_some(())
                };
                until("the task is shown", looked).await;
            }
            println!("{second:?} {status}: {tally:?}");
            tallies.insert((number, status), tally);
        }
    }
    assert!(tallies.values().all(|tally| tally.alien == 0), "{tallies:?}");
    assert!(tallies.values().all(|tally| tally.refused <= 3), "one refusal ends it: {tallies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_under_eight_clients_at_once() {
    for second in SECONDS {
        let status = |id: &str| if id.len().is_multiple_of(2) { "processing" } else { "completed" };
        let upstream =
            Stutterer::start(second, Duration::from_millis(8), move |id| shown(id, status(id))).await;
        let gateway = gateway_at(&upstream.base_url(), EAGER).await;
        let address = gateway.address;
        let mut clients = JoinSet::new();
        for client in 0..8 {
            clients.spawn(async move {
                let mut tally = Tally::default();
                for number in 0..100 {
                    let id = format!("c{client}-{number}");
                    tally.count(&id, &get(address, &format!("/v1/tasks/{id}")).await);
                    // Seen by another a moment ago: known, and perhaps kept.
                    let id = format!("c{}-{number}", (client + 1) % 8);
                    tally.count(&id, &get(address, &format!("/v1/tasks/{id}")).await);
                }
                tally
            });
        }
        let mut all = Tally::default();
        for tally in clients.join_all().await {
            all = Tally {
                own: all.own + tally.own,
                alien: all.alien + tally.alien,
                refused: all.refused + tally.refused,
            };
        }
        println!("{second:?}: {all:?}");
        assert_eq!(all.alien, 0, "{second:?}: {all:?}");
        assert!(all.refused <= 200, "{second:?}: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_go_on_working_beside_second_responses() {
    for second in SECONDS {
        for status in ["processing", "completed"] {
            let body = move |id: &str| shown(&format!("ld-{id}"), status);
            let upstream = Stutterer::start(second, Duration::from_millis(8), body).await;
            let gateway = gateway_at(&upstream.base_url(), EAGER).await;
            let address = gateway.address;
            let mut clients = JoinSet::new();
            for client in 0..4 {
                clients.spawn(async move {
                    let mut tally = Tally::default();
                    for number in 0..20 {
                        let id = format!("c{client}-{number}");
                        // Refused at first, perhaps, and shown in the end.
                        for _ in 0..20 {
                            let answer = get(address, &format!("/v1/tasks/{id}")).await;
                            tally.count(&format!("ld-{id}"), &answer);
                            if answer.status == 200 {
                                break;
                            }
                        }
                    }
                    tally
                });
            }
            let tallies = clients.join_all().await;
            println!("{second:?} {status}: {tallies:?}");
            assert!(tallies.iter().all(|tally| (tally.own, tally.alien) == (20, 0)), "{tallies:?}");
        }
    }
}

#[tokio::test]
async fn bytes_after_a_complete_response_close_the_connection() {
    // No ids: nothing but the connection shows that something is wrong.
    for second in SECONDS {
        let body = |_: &str| r#"{"status":"completed"}"#.to_owned();
        let upstream = Stutterer::start(second, Duration::ZERO, body).await;
        let gateway = gateway_at(&upstream.base_url(), EAGER).await;
        for number in 0..10 {
            let answer = get(gateway.address, &format!("/v1/tasks/t{number}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let closed = async || (upstream.open.load(Ordering::Relaxed) == 0).then_some(());
            until("the connection closes", closed).await;
        }
        assert_eq!(upstream.requests.load(Ordering::Relaxed), 10, "{second:?}");
    }
}

/// An upstream that names every task by two ids of its own.
async fn naming(status: &'static str) -> Upstream {
    Upstream::start(move |_, request| {
        let path = request.split(' ').nth(1).unwrap();
        let id = path.rsplit('/').next().unwrap();
        Reply::json(&format!(r#"{{"id":"ld-{id}","task_id":"{id}-ld","status":"{status}"}}"#))
    })
    .await
}

#[tokio::test]
async fn a_third_name_in_the_path_costs_one_more_request() {
    for status in ["processing", "completed"] {
        let upstream = naming(status).await;
        let gateway = gateway(&upstream, &[]).await;
        for looks in 1..=5 {
            let answer = get(gateway.address, "/v1/tasks/third").await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains("ld-third"));
            let hit = answer.expect("cache-status").starts_with("taskgate; hit");
            assert_eq!(hit, looks > 1, "{}", answer.expect("cache-status"));
        }
        assert_eq!(upstream.count(), 2, "the second confirms the first");
    }
    // From then on each refresh is one request, and both of its names are polled beside it.
    let upstream = naming("processing").await;
    let gateway = gateway(&upstream, EAGER).await;
    assert_eq!(get(gateway.address, "/v1/tasks/third").await.status, 200);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(get(gateway.address, "/v1/tasks/third").await.status, 200);
    }
    // A look that takes long may be followed by another one. Two requests a look would be 42.
    assert!((20..32).contains(&upstream.count()), "{}", upstream.count());
}

#[tokio::test]
async fn a_cancelled_task_may_have_a_third_name_too() {
    let upstream = naming("failed").await;
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), format!("program {}\n", hex::encode(&token::hash("tg_canary")))).unwrap();
    let access = [
        ("access.mode", "protected"),
        ("access.token_file", tokens.path().to_str().unwrap()),
        ("access.allow_cancel", "true"),
    ];
    let gateway = gateway(&upstream, &access).await;
    let token = "Authorization: Bearer tg_canary\r\n";
    let answer = request(gateway.address, "DELETE", "/v1/tasks/third", token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let methods: Vec<String> =
        upstream.heard().iter().map(|request| request.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["DELETE", "GET"]);
    let answer = get_with(gateway.address, "/v1/tasks/third", token).await;
    assert!(answer.expect("cache-status").contains("; hit"));
}

#[tokio::test]
async fn bodies_without_ids_pass_as_before() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed","data":{"id":"x"}}"#)).await;
    let gateway = gateway(&upstream, EAGER).await;
    for number in 0..20 {
        assert_eq!(get(gateway.address, &format!("/v1/tasks/t{number}")).await.status, 200);
    }
    assert_eq!(upstream.count(), 20);
}

#[tokio::test]
async fn a_refusal_closes_every_kept_connection_and_is_logged_once() {
    // Every task is shown as the first one.
    let upstream = Upstream::always(Reply::json(&shown("first", "completed"))).await;
    let (program, address, _) = serve(&upstream.base_url(), &[]);
    assert_eq!(get(address, "/v1/tasks/first").await.status, 200);
    assert_eq!(upstream.open(), 1, "kept");
    for number in 0..5 {
        let answer = get(address, &format!("/v1/tasks/t{number}")).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (502, "upstream_invalid_response"));
        until("no connection is open", async || (upstream.open() == 0).then_some(())).await;
    }
    assert_eq!(get(address, "/v1/images/t1").await.status, 502);
    assert_eq!(upstream.count(), 7, "refused at once");
    program.signal("TERM");
    let (_, _, log) = program.end();
    let told = |route: &str| {
        let is_it = |line: &&str| line.contains("named another task") && line.contains(route);
        log.lines().filter(is_it).count()
    };
    assert_eq!((told("/v1/tasks/{id}"), told("/v1/images/{id}")), (1, 1), "{log}");
}
