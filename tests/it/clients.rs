//! Clients that others wrote, through a task's whole life: httpx-sse, npm's eventsource, and a browser. Each is
//! driven by hand: the upstream moves on when the client has told what it saw last.
//!
//! Their parts come from `.ci/install tests`. Where one is missing its tests say so and pass; with `CI` set they
//! fail.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{End, Gateway, Program, Relay, Reply, Upstream, gateway, get, run, site};

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
    let url = format!("http://{}/v1/tasks?id=done&id=lost&id=no.id&id=life", relay.address);
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
    assert_eq!(of("no.id"), [&json!(["message", 400, "invalid_task_id"])]);
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
    let page = include_str!("../../examples/browser/index.html");
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
    let ids: String = ["picture", "film", "song", "model", "broken", "evil", "lost", "no.id"]
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
    page.wait_for(|line| line["connection"].as_str().is_some_and(|text| text.contains("Reconnecting")));
    upstream.now("picture", Reply::json(&processing(90)));
    page.card("picture", |card| bar(card) == 0.9);
    page.card("lost", |card| card["status"] == "gone" && card["note"] == "Task not found.");
    upstream.now("picture", finished(json!({"data": [{"url": picture}]})));
    page.card("picture", |card| card["is"] == "finished" && card["picture"] == true);
    page.wait_for(|line| line["connection"] == "All of them are over.");
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
    let refused = &cards["no.id"];
    assert_eq!((&refused["is"], &refused["status"]), (&json!("failed"), &json!("refused")));
    let last = relay.streams();
    assert_eq!(last, [(None, 200), (None, 200)], "one connection, and it does not come back after the end");
}

/// An upstream that says of each task what it was told to.
struct Play {
    upstream: Upstream,
    lines: Lines,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<HashMap<String, Reply>>>);

impl Lines {
    fn says(&self, path: &str) -> Reply {
        self.0.lock().unwrap().get(path).cloned().unwrap_or_else(missing)
    }
}

impl Play {
    async fn begin(script: impl Fn(&Lines, usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let lines = Lines::default();
        let spoken = lines.clone();
        let upstream = Upstream::start(move |number, request| {
            script(&spoken, number, request.split(' ').nth(1).unwrap_or_default())
        })
        .await;
        Self { upstream, lines }
    }

    fn now(&self, id: &str, reply: Reply) {
        self.lines.0.lock().unwrap().insert(format!("/v1/tasks/{id}"), reply);
    }

    async fn gateway(&self) -> Gateway {
        let often = [
            ("polling.fresh_for", "200ms"),
            ("polling.max_interval", "200ms"),
            ("cache.not_found_ttl", "200ms"),
        ];
        gateway(&self.upstream, &often).await
    }

    /// Waits until it was asked so many times more.
    async fn asked_again(&self, times: usize) {
        let enough = self.upstream.count() + times;
        while self.upstream.count() < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
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

/// What a state's `ETag` has to be.
fn tag(body: &str) -> String {
    let hex: String = Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// A client at work, and what it has shown.
struct Watching {
    program: Program,
    /// The page's cards as they were last shown.
    cards: HashMap<String, Value>,
}

fn start(mut command: Command, url: &str) -> Watching {
    command.arg(url);
    Watching { program: run(command), cards: HashMap::new() }
}

impl Watching {
    #[track_caller]
    fn next(&mut self) -> Value {
        let line = self.program.next_line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    }

    #[track_caller]
    fn expect(&mut self, event: Value) {
        assert_eq!(self.next(), event);
    }

    #[track_caller]
    fn expect_trouble(&mut self, code: &str) {
        let seen = self.next();
        assert_eq!(seen["event"], "trouble");
        let envelope: Value = serde_json::from_str(seen["data"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&envelope["error"]["code"], &envelope["error"]["type"]),
            (&json!(code), &json!("gateway_error"))
        );
    }

    /// The next item of many: whose it is, and its event, its code and what the task or the error says.
    #[track_caller]
    fn next_item(&mut self) -> (String, Value) {
        let seen = self.next();
        let item: Value = serde_json::from_str(seen["data"].as_str().unwrap()).unwrap();
        let says = if item["task"].is_null() { &item["error"]["code"] } else { &item["task"]["status"] };
        assert!(seen["id"].as_str().unwrap_or_default().is_empty(), "{seen}");
        (item["id"].as_str().unwrap().to_owned(), json!([seen["event"], item["code"], says]))
    }

    /// Waits for such a line of the page.
    #[track_caller]
    fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) {
        loop {
            let line = self.next();
            assert_eq!(line["broken"], Value::Null, "a script of the page failed");
            if let Some(id) = line["id"].as_str() {
                self.cards.insert(id.to_owned(), line.clone());
            }
            if is_it(&line) {
                return;
            }
        }
    }

    /// Waits until a card of the page looks like this, if it does not already.
    #[track_caller]
    fn card(&mut self, id: &str, is_it: impl Fn(&Value) -> bool) {
        if !self.cards.get(id).is_some_and(&is_it) {
            self.wait_for(|line| line["id"] == id && is_it(line));
        }
    }

    /// It has to end by itself, having said no more. (The page's reader watches its standard input for that.)
    #[track_caller]
    fn end(mut self) -> HashMap<String, Value> {
        self.program.close_stdin();
        let (code, rest, errors) = self.program.end();
        assert_eq!((code, rest.as_str()), (Some(0), ""), "{errors}");
        self.cards
    }
}

/// What a client is made of, as a machine may lack it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Python,
    Node,
    Chromium,
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

/// The command that runs a client; `None` where this machine cannot, which is said, and is a failure in CI.
fn client_command(script: &str, part: Part) -> Option<Command> {
    match find(script, part) {
        Ok(command) => Some(command),
        Err(missing) => {
            let text = format!("NOT RUN: {script} needs {missing}; try: .ci/install tests\n");
            let is_ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
            assert!(!is_ci, "{text}");
            // Not eprintln: a test that passes would keep it to itself.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            None
        }
    }
}

fn find(script: &str, part: Part) -> Result<Command, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scripts = root.join("tests/clients");
    let mut command = match part {
        Part::Python => {
            let python = root.join("target/clients-venv/bin/python");
            // Installed last, so it stands for a finished installation.
            if !root.join("target/clients-venv/requirements.txt").exists() {
                return Err(format!(
                    "{} with the packages of tests/clients/requirements.txt",
                    python.display()
                ));
            }
            Command::new(python)
        }
        Part::Node | Part::Chromium => {
            let node = in_path(&["node", "nodejs"]).ok_or("Node.js 18 or newer")?;
            if !scripts.join("node_modules/package-lock.json").exists() {
                return Err("the packages of tests/clients/package.json in tests/clients/node_modules".into());
            }
            Command::new(node)
        }
    };
    if part == Part::Chromium {
        let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
        command.env("CHROMIUM", in_path(&names).ok_or("Chromium")?);
    }
    command.arg(scripts.join(script)).current_dir(&scripts).stdin(Stdio::piped());
    Ok(command)
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.is_file())
}
