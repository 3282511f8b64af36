//! Clients that others wrote, through a task's whole life: httpx-sse, npm's eventsource, and a browser. Each is
//! driven by hand: the upstream moves on when the client has told what it saw last.
//!
//! Their parts come from `.ci/install tests`. Where one is missing its tests say so and pass; with `CI` set they
//! fail.

mod dashboard;
mod description;
pub mod parts;
pub mod play;
mod python;
mod taskgate_js;
mod tickets;
mod watching;

use std::process::Command;

use serde_json::{Value, json};
use taskgate::core::sha256;

use self::parts::{Part, client_command};
use self::play::Play;
use self::watching::{Watching, start};
use crate::support::{End, Relay, Reply, get, site};

const NOT_FOUND: &str = r#"{"error":{"code":"task_not_found","message":"Task not found."}}"#;
const PENDING: &str = "{\n  \"id\": \"life\",\n  \"status\": \"pending\"\n}\n";
const FINISHED: &str = r#"{"id":"life","status":"completed","title":"レモン 🍋"}"#;

/// The clients, each a program under `tests/clients` that prints what it sees.
#[derive(Debug, Clone, Copy)]
enum Client {
    HttpxSse,
    Eventsource,
    Chromium,
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_sse_lives_through_a_task() {
    life(Client::HttpxSse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_sse_sees_a_task_go() {
    gone(Client::HttpxSse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_sse_sees_many_tasks_to_their_end() {
    many(Client::HttpxSse).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_eventsource_lives_through_a_task() {
    life(Client::Eventsource).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_eventsource_sees_a_task_go() {
    gone(Client::Eventsource).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_eventsource_sees_many_tasks_to_their_end() {
    many(Client::Eventsource).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_lives_through_a_task() {
    life(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sees_a_task_go() {
    gone(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sees_many_tasks_to_their_end() {
    many(Client::Chromium).await;
}

impl Client {
    fn command(self) -> Option<Command> {
        match self {
            Self::HttpxSse => client_command("httpx_sse_client.py", Part::Python),
            Self::Eventsource => client_command("eventsource.mjs", Part::Node),
            Self::Chromium => client_command("chromium.mjs", Part::Chromium),
        }
    }
}

/// Found late, pending, under way, an outage, a cut connection, a gateway that restarts, the end, and no more.
async fn life(client: Client) {
    let Some(command) = client.command() else { return };
    // Right after the create there is no such task yet.
    let upstream =
        Play::begin(|play, number, path| if number == 0 { missing() } else { play.says(path) }).await;
    upstream.now("life", Reply::json(PENDING));
    let first = upstream.gateway().await;
    let relay = Relay::to(first.address).await;
    let mut client = start(command, &format!("http://{}/v1/tasks/life", relay.address));

    client.expect(json!({"event": "open"}));
    client.expect(message(PENDING));
    upstream.now("life", Reply::json(&processing(30)));
    client.expect(message(&processing(30)));
    upstream.now("life", Reply::new(503, "", "busy"));
    client.expect_trouble("upstream_error");
    upstream.now("life", Reply::json(&processing(30)));
    client.expect(message(&processing(30)));
    upstream.now("life", Reply::json(&processing(60)));
    client.expect(message(&processing(60)));

    relay.cut();
    upstream.now("life", Reply::json(&processing(80)));
    client.expect(json!({"event": "cut"}));
    client.expect(json!({"event": "open"}));
    client.expect(message(&processing(80)));

    // The next gateway knows nothing, the client has seen what it finds: nothing is told twice.
    let second = upstream.gateway().await;
    relay.lead_to(second.address);
    drop(first);
    client.expect(json!({"event": "cut"}));
    client.expect(json!({"event": "open"}));
    upstream.asked_again(2).await;
    upstream.now("life", Reply::json(FINISHED));
    client.expect(message(FINISHED));
    client.expect(json!({"event": "cut"}));
    client.expect(json!({"event": "closed"}));
    client.end();

    let (sixty, eighty) = (tag(&processing(60)), tag(&processing(80)));
    let reconnects = [(None, 200), (Some(sixty), 200), (Some(eighty), 200), (Some(tag(FINISHED)), 204)];
    assert_eq!(relay.streams(), reconnects);
    let kept = get(second.address, "/v1/tasks/life").await;
    assert_eq!((kept.expect("etag"), kept.text()), (tag(FINISHED), FINISHED.to_owned()));
}

async fn gone(client: Client) {
    let Some(command) = client.command() else { return };
    let upstream = Play::begin(|_, _, _| missing()).await;
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    let mut client = start(command, &format!("http://{}/v1/tasks/lost", relay.address));
    client.expect(json!({"event": "open"}));
    client.expect(json!({"event": "gone", "id": "gone", "data": NOT_FOUND}));
    client.expect(json!({"event": "cut"}));
    client.expect(json!({"event": "closed"}));
    client.end();
    assert_eq!(relay.streams(), [(None, 200), (Some("gone".to_owned()), 204)]);
}

/// One that is finished, one that is not there, one that lives, and an id that is none, on one connection.
async fn many(client: Client) {
    let Some(command) = client.command() else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    let finished = r#"{"id":"done","status":"succeeded"}"#;
    upstream.now("done", Reply::json(finished));
    upstream.now("lost", missing());
    upstream.now("life", Reply::json(PENDING));
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    let url = format!("http://{}/v1/tasks?id=done&id=lost&id=no!id&id=life", relay.address);
    let mut client = start(command, &url);

    client.expect(json!({"event": "open"}));
    let mut seen = Vec::new();
    // Tasks do not wait for each other, so each has an order of its own.
    let mut until = |client: &mut Watching, wanted: Value| loop {
        let (id, what) = client.next_item();
        seen.push((id.clone(), what.clone()));
        if (id == "life") && what == wanted {
            break;
        }
    };
    until(&mut client, json!(["message", 200, "pending"]));
    upstream.now("life", Reply::raw("", End::Close));
    until(&mut client, json!(["trouble", 502, "upstream_unreachable"]));
    upstream.now("life", Reply::json(&processing(50)));
    until(&mut client, json!(["message", 200, "processing"]));
    while !seen.iter().any(|(id, _)| id == "lost") {
        seen.push(client.next_item());
    }
    upstream.now("life", Reply::json(FINISHED));
    seen.push(client.next_item());
    client.expect(json!({"event": "done", "id": "end", "data": "{}"}));
    client.expect(json!({"event": "cut"}));
    client.expect(json!({"event": "closed"}));
    client.end();

    let of = |wanted: &str| -> Vec<&Value> {
        seen.iter().filter(|(id, _)| id == wanted).map(|(_, what)| what).collect()
    };
    assert_eq!(of("done"), [&json!(["message", 200, "succeeded"])]);
    assert_eq!(of("lost"), [&json!(["gone", 404, "task_not_found"])]);
    assert_eq!(of("no!id"), [&json!(["message", 400, "invalid_task_id"])]);
    let life = [
        json!(["message", 200, "pending"]),
        json!(["trouble", 502, "upstream_unreachable"]),
        json!(["message", 200, "processing"]),
        json!(["message", 200, "completed"]),
    ];
    assert_eq!(of("life"), life.iter().collect::<Vec<_>>());
    assert_eq!(relay.streams(), [(None, 200), (Some("end".to_owned()), 204)]);
}

/// The example page, in a browser: bars move, results appear, and nothing in a task can harm the page.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_page_shows_tasks_live() {
    let Some(command) = client_command("page.mjs", Part::Chromium) else { return };
    let page = include_str!("../../../examples/browser/index.html");
    let (site, _lifecycle) = site(page).await;
    let picture = format!("http://{site}/files/ldtask_{:032x}.svg", 7);
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("picture", Reply::json(&processing(10)));
    upstream.now("film", finished(json!({"video_url": "https://cdn.example/film.mp4", "progress": 100})));
    upstream.now("song", finished(json!({"audio_url": "https://cdn.example/song.mp3"})));
    upstream.now("model", finished(json!({"model_url": "https://cdn.example/model.glb"})));
    upstream.now("broken", Reply::json(r#"{"status":"failed","error":{"message":"No lemons left."}}"#));
    let evil = json!({"prompt": "<img src=x onerror=alert(1)>", "video_url": "javascript:alert(1)",
        "data": [{"url": "javascript:alert(1)"}, null], "audio_url": 7});
    upstream.now("evil", finished(evil));
    upstream.now("lost", missing());
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    let ids: String = ["picture", "film", "song", "model", "broken", "evil", "lost", "no!id"]
        .iter()
        .map(|id| format!("&id={id}"))
        .collect();
    let mut page = start(command, &format!("http://{site}/?gateway=http://{}{ids}", relay.address));

    let bar = |card: &Value| card["bar"].as_f64().unwrap_or(f64::NAN);
    page.card("picture", |card| bar(card) == 0.1);
    upstream.now("picture", Reply::json(&processing(55)));
    page.card("picture", |card| bar(card) == 0.55 && card["status"] == "processing · 55 %");
    upstream.now("picture", Reply::new(500, "", "oops"));
    page.card("picture", |card| bar(card) == 0.55 && card["note"].as_str().unwrap().len() > 20);
    upstream.now("picture", Reply::json(&processing(55)));
    page.card("picture", |card| bar(card) == 0.55 && card["note"] == "");
    relay.cut();
    page.connection("Reconnecting");
    upstream.now("picture", Reply::json(&processing(90)));
    page.card("picture", |card| bar(card) == 0.9);
    page.card("lost", |card| card["status"] == "gone" && card["note"] == "Task not found.");
    upstream.now("picture", finished(json!({"data": [{"url": picture}]})));
    page.card("picture", |card| card["is"] == "finished" && card["picture"] == true);
    page.connection("All of them are over.");
    let cards = page.end();

    let link = |url: &str| json!([url]);
    for (id, is, links, note) in [
        ("film", "finished", link("https://cdn.example/film.mp4"), ""),
        ("song", "finished", link("https://cdn.example/song.mp3"), ""),
        ("model", "finished", link("https://cdn.example/model.glb"), ""),
        ("broken", "failed", json!([]), "No lemons left."),
        ("evil", "finished", json!([]), ""),
    ] {
        let card = &cards[id];
        assert_eq!((&card["is"], &card["links"], &card["note"]), (&json!(is), &links, &json!(note)), "{id}");
        assert_eq!(card["bar"], Value::Null, "{id}");
    }
    assert_eq!(cards["song"]["sounds"], link("https://cdn.example/song.mp3"));
    let evil = &cards["evil"];
    assert_eq!((&evil["title"], &evil["picture"]), (&json!("<img src=x onerror=alert(1)>"), &json!(false)));
    let refused = &cards["no!id"];
    assert_eq!((&refused["is"], &refused["status"]), (&json!("failed"), &json!("refused")));
    let last = relay.streams();
    assert_eq!(last, [(None, 200), (None, 200)], "one connection, and it does not come back after the end");
}

fn missing() -> Reply {
    Reply::new(404, "", NOT_FOUND)
}

fn processing(percent: u8) -> String {
    format!(r#"{{"id":"life","status":"processing","progress":{percent}}}"#)
}

fn finished(mut task: Value) -> Reply {
    task["status"] = json!("completed");
    Reply::json(&task.to_string())
}

/// The event of a state: its tag and its bytes, as far as lines can carry them.
fn message(body: &str) -> Value {
    json!({"event": "message", "id": tag(body), "data": body})
}

/// The `ETag` that a state must have.
fn tag(body: &str) -> String {
    let hex: String =
        sha256::hash(body.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
