//! The module for pages, `clients/js/taskgate.js`, in Node: it tells every state once and misses no end, whatever comes
//! between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::parts::{Part, client_command};
use super::play::Play;
use super::processing;
use crate::support::{Program, QUICK, Reply, Upstream, free_port, gateway, run, serve, until_metric};

/// The module at work with these arguments; `None` where this machine cannot.
fn module(arguments: &[&str]) -> Option<Program> {
    let mut command = client_command("taskgate_js.mjs", Part::Node)?;
    command.args(arguments);
    Some(run(command))
}

#[track_caller]
fn next(program: &Program) -> Value {
    serde_json::from_str(&program.next_line()).unwrap()
}

/// A task that counts to `last`, a step at every `pace`th request, and has then finished.
async fn counting(last: usize, pace: usize) -> Upstream {
    let steps = std::sync::Mutex::new(HashMap::<String, usize>::new());
    Upstream::start(move |_, request| {
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let mut steps = steps.lock().unwrap();
        let step = steps.entry(path).or_default();
        *step += 1;
        let n = (*step / pace).min(last);
        let status = if n == last { "completed" } else { "processing" };
        Reply::json(&format!(r#"{{"status":"{status}","n":{n}}}"#))
    })
    .await
}

/// A relay that treats each connection by its number and the bytes of its first request.
async fn relay<F>(target: std::net::SocketAddr, treat: F) -> std::net::SocketAddr
where
    F: Fn(usize, &str) -> Fate + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let treat = Arc::new(treat);
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((client, _)) = listener.accept().await {
            number += 1;
            let treat = Arc::clone(&treat);
            tokio::spawn(async move { carry(client, target, number, &*treat).await });
        }
    });
    address
}

/// The fate of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// Its requests are read, and nothing comes back.
    Swallowed,
    /// It ends after so many bytes of answers.
    Cut(usize),
}

async fn carry(
    mut client: TcpStream,
    target: std::net::SocketAddr,
    number: usize,
    treat: &(dyn Fn(usize, &str) -> Fate + Send + Sync),
) {
    let mut request = vec![0; 4096];
    let Ok(length @ 1..) = client.read(&mut request).await else { return };
    let fate = treat(number, &String::from_utf8_lossy(&request[..length]));
    if fate == Fate::Swallowed {
        while let Ok(1..) = client.read(&mut request).await {}
        return;
    }
    let Ok(mut gateway) = TcpStream::connect(target).await else { return };
    gateway.write_all(&request[..length]).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (from_gateway, mut to_gateway) = gateway.split();
    let left = if let Fate::Cut(left) = fate { left as u64 } else { u64::MAX };
    let mut answers = from_gateway.take(left);
    tokio::select! {
        _ = tokio::io::copy(&mut answers, &mut to_client) => {}
        _ = tokio::io::copy(&mut from_client, &mut to_gateway) => {}
    }
}

/// The numbers of all states until it is over.
#[track_caller]
fn numbers(program: &Program) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let event = next(program);
        if event["over"] == true {
            return seen;
        }
        if event["task"].is_object() {
            seen.push(event["task"]["n"].as_u64().unwrap());
        } else {
            let is_known =
                event["type"] == "trouble" || event["type"] == "recovered" || event["signed"] == true;
            assert!(is_known, "{event}");
        }
    }
}

/// Each state once and in order, from any to the last: states that came and went in a gap are not seen.
#[track_caller]
fn assert_each_once(seen: &[u64], last: u64) {
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert_eq!(seen.last(), Some(&last), "the end is not missed: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_every_state_once_and_the_end() {
    let upstream = counting(5, 2).await;
    let gateway = gateway(&upstream, QUICK).await;
    let Some(program) = module(&["one", &format!("http://{}/v1/tasks/a", gateway.address)]) else { return };
    assert_eq!(numbers(&program), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_trouble_and_that_a_task_is_gone_and_throws_what_time_does_not_mend() {
    let upstream = Upstream::start(|number, _| match number {
        0 => Reply::json(r#"{"status":"processing","n":0}"#),
        1 => Reply::new(503, "", "busy"),
        _ => Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let url = |id: &str| format!("http://{}/v1/tasks/{id}", gateway.address);
    let Some(program) = module(&["one", &url("a")]) else { return };
    assert_eq!(next(&program), json!({"task": {"status": "processing", "n": 0}}));
    let trouble = next(&program);
    assert_eq!((&trouble["type"], &trouble["error"]["code"]), (&json!("trouble"), &json!("upstream_error")));
    assert_eq!(next(&program), json!({"type": "gone", "error": {"error": {"code": "async_task_not_found"}}}));
    assert_eq!(next(&program), json!({"over": true}));
    let program = module(&["one", &url("a+b")]).unwrap();
    assert_eq!(next(&program), json!({"error": "invalid_task_id"}));
}

/// The state is then the same as before, and is told only once.
#[tokio::test(flavor = "multi_thread")]
async fn it_says_that_trouble_is_over() {
    for mode in ["one", "many"] {
        let upstream = Play::begin(|play, _, path| play.says(path)).await;
        upstream.now("a", Reply::json(&processing(10)));
        let gateway = upstream.gateway().await;
        let url = format!("http://{}/v1/tasks/a", gateway.address);
        let Some(program) = module(&[mode, &url]) else { return };
        assert!(next(&program)["task"].is_object());
        upstream.now("a", Reply::new(500, "", "oops"));
        let mut trouble = next(&program);
        assert_eq!(
            (&trouble["type"], &trouble["error"]["code"]),
            (&json!("trouble"), &json!("upstream_error"))
        );
        upstream.now("a", Reply::json(&processing(10)));
        // Whose it is stands in both alike.
        for only_of_trouble in ["error", "code"] {
            trouble.as_object_mut().unwrap().remove(only_of_trouble);
        }
        trouble["type"] = json!("recovered");
        assert_eq!(next(&program), trouble);
        upstream.now("a", Reply::json(r#"{"status":"completed"}"#));
        let end = next(&program);
        let task = if mode == "one" { &end["task"] } else { &end["task"]["task"] };
        assert_eq!(task["status"], "completed", "{end}");
        assert_eq!(next(&program), json!({"over": true}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_watches_many_by_one_connection() {
    let upstream = counting(3, 2).await;
    let gateway = gateway(&upstream, QUICK).await;
    let urls = ["a", "b", "c"].map(|id| format!("http://{}/v1/tasks/{id}", gateway.address));
    let Some(program) = module(&[&["many"], &urls.each_ref().map(String::as_str)[..]].concat()) else {
        return;
    };
    let mut seen = HashMap::<String, Vec<u64>>::new();
    loop {
        let event = next(&program);
        if event["over"] == true {
            break;
        }
        let item = &event["task"];
        let n = item["task"]["n"].as_u64().unwrap();
        seen.entry(item["id"].as_str().unwrap().to_owned()).or_default().push(n);
    }
    for id in ["a", "b", "c"] {
        assert_eq!(seen[&format!("/v1/tasks/{id}")], [0, 1, 2, 3], "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_do_not_pass_it_polls() {
    let upstream = counting(3, 2).await;
    let gateway = gateway(&upstream, QUICK).await;
    let through = relay(gateway.address, |_, request| {
        if request.contains("text/event-stream") { Fate::Swallowed } else { Fate::Passes }
    })
    .await;
    let started = ["one", "many"]
        .map(|mode| Some((mode, module(&[mode, &format!("http://{through}/v1/tasks/{mode}")])?)));
    for (mode, program) in started.into_iter().flatten() {
        let seen: Vec<Value> =
            std::iter::from_fn(|| Some(next(&program)).filter(|seen| seen["over"] != true)).collect();
        let last = seen.last().unwrap();
        let task = if mode == "one" { &last["task"] } else { &last["task"]["task"] };
        assert_eq!(task["status"], "completed", "{seen:?}");
    }
}

/// The last state was told, and every stream that asks what comes after it is swallowed. A long-poll finds nothing new,
/// and that nothing will be.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_told_ends_the_watch_without_streams_too() {
    let upstream = counting(0, 1).await;
    let gateway = gateway(&upstream, QUICK).await;
    let polls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polls);
    let through = relay(gateway.address, move |_, request| {
        let is_stream = request.contains("text/event-stream");
        if is_stream && request.to_lowercase().contains("last-event-id") {
            return Fate::Swallowed;
        }
        count.fetch_add(usize::from(!is_stream), Ordering::Relaxed);
        Fate::Passes
    })
    .await;
    let Some(program) = module(&["one", &format!("http://{through}/v1/tasks/a")]) else { return };
    assert_eq!(numbers(&program), [0]);
    assert_eq!(polls.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_at_random_lose_and_double_nothing() {
    const TASKS: usize = 50;
    const CUTS: usize = 200;
    let upstream = counting(20, 1).await;
    let gateway = gateway(&upstream, QUICK).await;
    let cuts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cuts);
    let through = relay(gateway.address, move |_, _| {
        if count.fetch_add(1, Ordering::Relaxed) < CUTS {
            Fate::Cut(fastrand::usize(1..700))
        } else {
            Fate::Passes
        }
    })
    .await;
    let urls: Vec<String> = (0..TASKS).map(|number| format!("http://{through}/v1/tasks/t{number}")).collect();
    let arguments: Vec<&str> = std::iter::once("crowd").chain(urls.iter().map(String::as_str)).collect();
    let Some(program) = module(&arguments) else { return };
    let (mut seen, mut over) = (HashMap::<String, Vec<u64>>::new(), 0);
    while over < TASKS {
        let event = next(&program);
        if event["over"].is_string() {
            over += 1;
        } else {
            let n = event["task"]["n"].as_u64().unwrap_or_else(|| panic!("{event}"));
            seen.entry(event["of"].as_str().unwrap().to_owned()).or_default().push(n);
        }
    }
    for url in &urls {
        assert_each_once(&seen[url], 20);
    }
    assert!(cuts.load(Ordering::Relaxed) > CUTS, "{} connections", cuts.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_renewed_before_they_end() {
    const SECRET: &str = "a-secret-of-at-least-32-bytes-for-tests";
    let is_over = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&is_over);
    let upstream = Upstream::start(move |number, _| {
        let status = if ending.load(Ordering::Relaxed) { "completed" } else { "processing" };
        Reply::json(&format!(r#"{{"status":"{status}","n":{number}}}"#))
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let secrets = files.path().join("secrets");
    std::fs::write(&secrets, SECRET).unwrap();
    let protected = [("access.mode", "protected"), ("access.ticket_secret_file", secrets.to_str().unwrap())];
    let gateway = gateway(&upstream, &[QUICK, &protected].concat()).await;
    let url = format!("http://{}/v1/tasks/a", gateway.address);
    let Some(program) = module(&["tickets", &url, SECRET, "2"]) else { return };
    let start = Instant::now();
    let (mut seen, mut signed) = (Vec::new(), 0);
    loop {
        let event = next(&program);
        if event["over"] == true {
            break;
        }
        signed += u32::from(event["signed"] == true);
        if let Some(n) = event["task"]["n"].as_u64() {
            seen.push(n);
        }
        assert!(event["type"].is_null(), "no ticket is refused: {event}");
        is_over.store(start.elapsed() > Duration::from_secs(7), Ordering::Relaxed);
    }
    assert!(signed >= 3, "{signed} tickets");
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_and_started_again_costs_no_state_and_no_end() {
    let upstream = counting(40, 1).await;
    let listen = format!("127.0.0.1:{}", free_port());
    let often = [
        ("TASKGATE_SERVER__LISTEN", listen.as_str()),
        ("TASKGATE_POLLING__FRESH_FOR", "100ms"),
        ("TASKGATE_POLLING__MAX_INTERVAL", "100ms"),
    ];
    let serve = || serve(&upstream.base_url(), &often).0;
    let first = serve();
    let Some(client) = module(&["one", &format!("http://{listen}/v1/tasks/a")]) else { return };
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(next(&client)["task"]["n"].as_u64().unwrap());
    }
    first.signal("KILL");
    drop(first.end());
    let second = serve();
    seen.extend(numbers(&client));
    assert_each_once(&seen, 40);
    assert_eq!(
        next(&client),
        json!({"listeners": 0}),
        "the signal, which may live on, keeps nothing of the watch"
    );
    drop(second);
}

#[test]
fn it_is_small() {
    let Some(program) = module(&["size"]) else { return };
    let size = next(&program)["size"].as_u64().unwrap();
    assert!(size <= 4000, "{size} bytes, compressed");
}

/// The program had held its connection for 45 s more, or had gone on polling.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_the_loop_leaves_all_requests() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing","n":0}"#)).await;
    let gateway = gateway(&upstream, QUICK).await;
    let through = relay(gateway.address, |_, request| {
        if request.contains("text/event-stream") { Fate::Swallowed } else { Fate::Passes }
    })
    .await;
    for address in [gateway.address, through] {
        let urls = ["a", "b"].map(|id| format!("http://{address}/v1/tasks/{id}"));
        let Some(program) = module(&["leave", &urls[0], &urls[1]]) else { return };
        assert_eq!(next(&program)["task"]["task"]["n"], 0);
        assert_eq!(next(&program), json!({"over": true, "timers": 0}), "nothing is left to wait for");
        until_metric(gateway.admin, "taskgate_streams_open", 0).await;
    }
}
