//! The module for pages, `clients/js/taskgate.js`, in real browsers. A page imports it from the gateway, which is another
//! origin, and reports what it is told.

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clients::parts::Part;
use crate::clients::play::Play;
use crate::clients::{page, processing};
use crate::support::{Program, Relay, Reply, free_port, run, serve};

const COMPLETED: &str = r#"{"status":"completed"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_across_a_killed_gateway() {
    killed(page("one", Part::Chromium)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_watches_across_a_killed_gateway() {
    killed(page("one", Part::Firefox)).await;
}

/// The browser holds back the timers of a tab behind another one.
#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_in_the_background() {
    killed(page("background", Part::Chromium)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_watches_in_the_background() {
    killed(page("background", Part::Firefox)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_many_tasks_by_one_connection() {
    many(Part::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_watches_many_tasks_by_one_connection() {
    many(Part::Firefox).await;
}

/// Tickets end all the way. The next state comes when the page has told the last one, so that none may be missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_tickets_that_end_after_three_seconds_loses_and_doubles_nothing() {
    const SECRET: &str = "a-secret-of-at-least-32-bytes-for-tests";
    let Some(mut command) = page("tickets", Part::Chromium) else { return };
    let files = tempfile::tempdir().unwrap();
    let secrets = files.path().join("secrets");
    std::fs::write(&secrets, SECRET).unwrap();
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("life", Reply::json(&numbered(0)));
    let settings = [
        ("access.mode", "protected"),
        ("access.ticket_secret_file", secrets.to_str().unwrap()),
        ("server.allowed_origins", "*"),
    ];
    let gateway = upstream.gateway_with(&settings).await;
    command.arg(format!("http://{}/v1/tasks/life", gateway.address)).env("SECRET", SECRET).env("TTL", "3");
    let page = run(command);
    let start = Instant::now();
    let (mut n, mut signed, mut is_completed) = (0, 0, false);
    loop {
        let seen = next(&page);
        if seen["signed"] == true {
            signed += 1;
        } else if is_completed {
            assert_eq!(seen, json!({"over": true}));
            break;
        } else if seen["task"]["status"] == "completed" {
            is_completed = true;
        } else {
            assert_eq!(seen, json!({"task": {"status": "processing", "n": n}}));
            n += 1;
            let is_late = start.elapsed() > Duration::from_secs(60);
            upstream.now("life", Reply::json(&if is_late { COMPLETED.to_owned() } else { numbered(n) }));
        }
    }
    assert!(signed > 15, "{signed} tickets");
}

fn numbered(n: u32) -> String {
    format!(r#"{{"status":"processing","n":{n}}}"#)
}

#[track_caller]
fn next(page: &Program) -> Value {
    serde_json::from_str(&page.next_line()).unwrap()
}

/// Every state once, trouble and its end, a gateway that is killed and started again, and the end.
async fn killed(command: Option<Command>) {
    let Some(mut command) = command else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("life", Reply::json(&processing(10)));
    let listen = format!("127.0.0.1:{}", free_port());
    let often = [
        ("TASKGATE_SERVER__LISTEN", listen.as_str()),
        ("TASKGATE_POLLING__FRESH_FOR", "100ms"),
        ("TASKGATE_POLLING__MAX_INTERVAL", "100ms"),
    ];
    let serve = || serve(&upstream.base_url(), &often).0;
    let first = serve();
    command.arg(format!("http://{listen}/v1/tasks/life"));
    let page = run(command);
    let mut seen = next(&page);
    if seen == json!({"throttled": true}) {
        seen = next(&page);
    }
    for percent in [20, 30, 40] {
        assert_eq!(seen["task"]["progress"], percent - 10);
        upstream.now("life", Reply::json(&processing(percent)));
        seen = next(&page);
    }
    assert_eq!(seen["task"]["progress"], 40);

    first.signal("KILL");
    drop(first.end());
    let trouble = next(&page);
    assert_eq!((&trouble["type"], &trouble["error"]["code"]), (&json!("trouble"), &json!("unreachable")));
    let second = serve();
    assert_eq!(next(&page), json!({"type": "recovered"}), "the state is the same, and is not told again");
    for percent in [50, 60] {
        upstream.now("life", Reply::json(&processing(percent)));
        assert_eq!(next(&page)["task"]["progress"], percent);
    }
    upstream.now("life", Reply::json(COMPLETED));
    assert_eq!(next(&page), json!({"task": {"status": "completed"}}));
    assert_eq!(next(&page), json!({"over": true}));
    drop(second);
}

/// More tasks than a browser has connections to a host.
async fn many(browser: Part) {
    const COUNT: usize = 20;
    let Some(mut command) = page("many", browser) else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    for number in 0..COUNT {
        upstream.now(&format!("t{number}"), Reply::json(&processing(10)));
        command.arg(format!("http://{}/v1/tasks/t{number}", relay.address));
    }
    let page = run(command);
    let mut seen = HashMap::<String, Vec<Value>>::new();
    let mut is_told = |page: &Program| {
        let item = &next(page)["task"];
        let id = item["id"].as_str().unwrap().trim_start_matches("/v1/tasks/").to_owned();
        seen.entry(id).or_default().push(item["task"]["status"].clone());
    };
    for _ in 0..COUNT {
        is_told(&page);
    }
    for number in 0..COUNT {
        upstream.now(&format!("t{number}"), Reply::json(COMPLETED));
    }
    for _ in 0..COUNT {
        is_told(&page);
    }
    assert_eq!(next(&page), json!({"over": true}));
    assert_eq!(seen.len(), COUNT);
    assert!(seen.values().all(|states| *states == ["processing", "completed"]), "{seen:?}");
    assert_eq!(relay.streams().len(), 1, "one connection for all of them");
}
