//! Clients that others wrote, through a task's whole life: httpx-sse and npm's eventsource here, browsers in
//! `browsers`. Each is driven by hand: the upstream moves on when the client has told what it saw last.
//!
//! Their parts come from `.ci/install tests`. Where one is missing its tests say so and pass; with `CI` set they
//! fail.

mod description;
pub mod parts;
pub mod play;
mod python;
mod taskgate_js;
pub mod watching;

use std::process::Command;

use serde_json::{Value, json};
use taskgate::core::sha256;

use self::parts::{Part, client_command};
use self::play::Play;
use self::watching::{Watching, start};
use crate::support::{End, Relay, Reply, get};

const NOT_FOUND: &str = r#"{"error":{"code":"task_not_found","message":"Task not found."}}"#;
const PENDING: &str = "{\n  \"id\": \"life\",\n  \"status\": \"pending\"\n}\n";
const FINISHED: &str = r#"{"id":"life","status":"completed","title":"レモン 🍋"}"#;

/// The clients, each a program under `tests/clients` that prints what it sees.
#[derive(Debug, Clone, Copy)]
pub enum Client {
    HttpxSse,
    Eventsource,
    Chromium,
    Firefox,
    /// event-source-polyfill, in Chromium.
    Polyfill,
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

impl Client {
    fn command(self) -> Option<Command> {
        match self {
            Self::HttpxSse => client_command("httpx_sse_client.py", Part::Python),
            Self::Eventsource => client_command("eventsource.mjs", Part::Node),
            Self::Chromium => page("eventsource", Part::Chromium),
            Self::Firefox => page("eventsource", Part::Firefox),
            Self::Polyfill => page("polyfill", Part::Chromium),
        }
    }
}

/// A page in a browser, without its URL.
pub fn page(mode: &str, browser: Part) -> Option<Command> {
    let mut command = client_command("browser_page.mjs", browser)?;
    command.arg(mode);
    Some(command)
}

/// Found late, pending, under way, an outage, a cut connection, a gateway that restarts, the end, and no more.
pub async fn life(client: Client) {
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

pub async fn gone(client: Client) {
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
pub async fn many(client: Client) {
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

pub fn missing() -> Reply {
    Reply::new(404, "", NOT_FOUND)
}

pub fn processing(percent: u8) -> String {
    format!(r#"{{"id":"life","status":"processing","progress":{percent}}}"#)
}

/// The event of a state: its tag and its bytes, as far as lines can carry them.
fn message(body: &str) -> Value {
    json!({"event": "message", "id": tag(body), "data": body})
}

/// The `ETag` that a state must have.
pub fn tag(body: &str) -> String {
    let hex: String =
        sha256::hash(body.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
