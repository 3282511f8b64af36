//! nginx and Caddy in front of the gateway, from the files in `deploy/` with only addresses and paths changed: by TLS
//! and HTTP/2 everything works as without them, and events come one by one.
//!
//! The programs come from `.ci/install tests`. Where one is missing its tests say so and pass; with `CI` set they
//! fail.

mod balancer;
pub mod front;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::front::{Kind, SILENCE, Tools};
use crate::clients::parts::{Part, client_command};
use crate::clients::play::Play;
use crate::support::{Gateway, Program, Relay, Reply, Upstream, gateway, run, until, until_metric};

#[tokio::test(flavor = "multi_thread")]
async fn nginx_hands_on_what_the_gateway_needs_to_know() {
    hands_on(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_lets_answers_304_and_long_polls_through() {
    answers(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_shows_each_event_when_it_happens() {
    events(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_lets_taskgate_js_stream() {
    module(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_carries_twenty_streams_on_one_connection() {
    twenty(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_tells_the_gateway_when_a_client_has_left() {
    left(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_hands_on_what_the_gateway_needs_to_know() {
    hands_on(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_lets_answers_304_and_long_polls_through() {
    answers(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_shows_each_event_when_it_happens() {
    events(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_lets_taskgate_js_stream() {
    module(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_carries_twenty_streams_on_one_connection() {
    twenty(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_tells_the_gateway_when_a_client_has_left() {
    left(Kind::Caddy).await;
}

/// In the gateway's place stands an upstream that shows what the proxy sends.
async fn hands_on(kind: Kind) {
    let Some(tools) = Tools::find(kind) else { return };
    let behind = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let proxy = tools.start(behind.address).await;
    let headers = json!({"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer t", "Prefer": "wait=3",
        "If-None-Match": "\"x\"", "Last-Event-ID": "\"y\"", "Origin": "https://app.example.com"});
    for _ in 0..2 {
        let mut client = proxy.ask(&[("/v1/tasks/a?wait=3&ticket=t", &headers)]);
        assert_eq!(client.next()["status"], 200);
    }
    let requests = behind.heard();
    let request = requests[0].to_lowercase();
    assert!(request.starts_with("get /v1/tasks/a?wait=3&ticket=t http/1.1\r\n"), "{request}");
    let forwarded_for = match kind {
        Kind::Nginx | Kind::PlainNginx => "203.0.113.9, 127.0.0.1",
        // The client's own claim is dropped: Caddy has no reason to believe it.
        Kind::Caddy => "127.0.0.1",
    };
    let host = format!("host: localhost:{}", proxy.address.port());
    let forwarded_for = format!("x-forwarded-for: {forwarded_for}");
    for line in [
        host.as_str(),
        forwarded_for.as_str(),
        "authorization: bearer t",
        "prefer: wait=3",
        "if-none-match: \"x\"",
        "last-event-id: \"y\"",
        "origin: https://app.example.com",
    ] {
        assert!(request.lines().any(|sent| sent == line), "{line} in {request}");
    }
    assert!(!request.contains("connection: close"), "{request}");
}

async fn answers(kind: Kind) {
    let Some(tools) = Tools::find(kind) else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("film", Reply::json(r#"{"status":"processing","progress":1}"#));
    let gateway = upstream.gateway().await;
    let proxy = tools.start(gateway.address).await;
    let film = "/v1/tasks/film";

    let (head, body) = proxy.get(film, &json!({}));
    assert_eq!(head["status"], 200);
    assert_eq!(body, r#"{"status":"processing","progress":1}"#);
    let tag = head["headers"]["etag"].clone();
    for header in
        ["cache-status", "cache-control", "age", "retry-after", "x-request-id", "vary", "content-length"]
    {
        assert!(head["headers"][header].is_string(), "{header} in {head}");
    }

    // A change ends the wait long before its time.
    let start = Instant::now();
    let mut waiting = proxy.ask(&[(film, &json!({"If-None-Match": tag, "Prefer": "wait=30"}))]);
    upstream.asked_again(2).await;
    upstream.now("film", Reply::json(r#"{"status":"completed"}"#));
    let head = waiting.next();
    assert_eq!((&head["status"], &head["headers"]["preference-applied"]), (&json!(200), &json!("wait=30")));
    assert_eq!(waiting.next()["data"], r#"{"status":"completed"}"#);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());

    let tag = head["headers"]["etag"].clone();
    let (head, body) = proxy.get(film, &json!({"If-None-Match": tag}));
    assert_eq!((&head["status"], body.as_str()), (&json!(304), ""));
    assert_eq!(head["headers"]["etag"], tag);
    let (head, body) = proxy.get("/v1/tasks/no!id", &json!({}));
    assert!(head["status"] == 400 && body.contains("gateway_error"), "errors too: {head} {body}");
    // The page that is served under the gateway's own name may read without being listed.
    let own = format!("https://localhost:{}", proxy.address.port());
    let (head, _) = proxy.get(film, &json!({"Origin": own}));
    assert_eq!(head["headers"]["access-control-allow-origin"], own.as_str());
    let (head, _) = proxy.get(film, &json!({"Origin": "https://evil.example"}));
    assert_eq!(head["status"], 403);
}

/// The upstream goes on when the client has shown the last event: a proxy that held one back would hang here.
async fn events(kind: Kind) {
    let Some(tools) = Tools::find(kind) else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("film", Reply::json(&numbered(0)));
    // A heartbeat comes more often than the proxy's longest silence, which the test sets to 2 s.
    let gateway = upstream.gateway_with(&[("polling.heartbeat", "500ms")]).await;
    let proxy = tools.start(gateway.address).await;
    let mut client = proxy.ask(&[("/v1/tasks/film", &json!({"Accept": "text/event-stream"}))]);
    let head = client.next();
    assert_eq!(head["status"], 200);
    for number in 1..5 {
        assert_eq!(client.next()["data"], numbered(number - 1).as_str());
        upstream.now("film", Reply::json(&numbered(number)));
    }
    assert_eq!(client.next()["data"], numbered(4).as_str());
    tokio::time::sleep(SILENCE * 2).await;
    upstream.now("film", Reply::json(r#"{"status":"completed"}"#));
    assert_eq!(client.next()["data"], r#"{"status":"completed"}"#);
    assert_eq!(client.next()["event"], "end", "and the end of the stream is the end here too");
    client.end();
}

async fn module(kind: Kind) {
    let Some(tools) = Tools::find(kind) else { return };
    let Some(mut client) = client_command("taskgate_js.mjs", Part::Node) else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("film", Reply::json(&numbered(0)));
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    let proxy = tools.start(relay.address).await;
    client.arg("one").arg(format!("https://localhost:{}/v1/tasks/film", proxy.address.port()));
    client.env("NODE_EXTRA_CA_CERTS", &proxy.certificate);
    streams(client, &upstream, &relay);
}

#[tokio::test(flavor = "multi_thread")]
async fn express_with_compression_lets_taskgate_js_stream() {
    let Some(behind) = behind_express(&[]).await else { return };
    streams(behind.client, &behind.upstream, &behind.relay);
}

/// No stream passes, and no header says which state is the last. It polls, no more often than there is news, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn taskgate_js_polls_calmly_where_express_holds_streams_back() {
    let Some(behind) = behind_express(&["no-store"]).await else { return };
    shows_each(behind.client, &behind.upstream);
    assert_eq!(behind.relay.streams().len(), 1, "the stream that was held back");
    let requests = behind.relay.requests();
    assert!(requests <= 8, "{requests} requests for six states");
}

/// A client behind Express with `compression`, which holds back what it may compress, and `http-proxy`: the dev servers
/// of many.
struct Behind {
    client: Command,
    upstream: Play,
    relay: Relay,
    _others: (Program, Gateway),
}

async fn behind_express(arguments: &[&str]) -> Option<Behind> {
    let mut proxy = client_command("express_proxy.mjs", Part::Node)?;
    let mut client = client_command("taskgate_js.mjs", Part::Node)?;
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("film", Reply::json(&numbered(0)));
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    proxy.arg(format!("http://{}", relay.address)).args(arguments);
    let proxy = run(proxy);
    client.arg("one").arg(format!("http://127.0.0.1:{}/v1/tasks/film", proxy.next_line()));
    Some(Behind { client, upstream, relay, _others: (proxy, gateway) })
}

fn numbered(number: u32) -> String {
    format!(r#"{{"status":"processing","n":{number}}}"#)
}

/// It takes one stream for that: where nothing came for 5 s, it would take long-polls.
#[track_caller]
fn streams(client: Command, upstream: &Play, relay: &Relay) {
    shows_each(client, upstream);
    let statuses: Vec<u16> = relay.streams().iter().map(|(_, status)| *status).collect();
    assert_eq!((statuses, relay.requests()), (vec![200, 204], 2), "the stream, and the request that ends it");
}

/// The module is shown each state before there is the next.
#[track_caller]
fn shows_each(client: Command, upstream: &Play) {
    let client = run(client);
    let next = || -> Value { serde_json::from_str(&client.next_line()).unwrap() };
    for number in 1..5 {
        assert_eq!(next()["task"]["n"], number - 1);
        upstream.now("film", Reply::json(&numbered(number)));
    }
    assert_eq!(next()["task"]["n"], 4);
    upstream.now("film", Reply::json(r#"{"status":"completed"}"#));
    assert_eq!(next(), json!({"task": {"status": "completed"}}));
    assert_eq!(next(), json!({"over": true}));
}

/// By HTTP/1.1 a browser would show six of them.
async fn twenty(kind: Kind) {
    const COUNT: usize = 20;
    let Some(tools) = Tools::find(kind) else { return };
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    let paths: Vec<String> = (0..COUNT).map(|number| format!("/v1/tasks/t{number}")).collect();
    for number in 0..COUNT {
        upstream.now(&format!("t{number}"), Reply::json(r#"{"status":"pending"}"#));
    }
    let gateway = upstream.gateway_with(&[("budget.requests_per_minute", "100000")]).await;
    let proxy = tools.start(gateway.address).await;
    let accept = json!({"Accept": "text/event-stream"});
    let requests: Vec<(&str, &Value)> = paths.iter().map(|path| (path.as_str(), &accept)).collect();
    let mut client = proxy.ask(&requests);
    // All of them are open at the same time: none has ended, and each has shown its first state.
    let mut pending = 0;
    while pending < COUNT {
        let seen = client.next();
        match seen["event"].as_str() {
            Some("head") => assert_eq!(seen["status"], 200),
            Some("message") => pending += 1,
            _ => panic!("{seen}"),
        }
    }
    for number in 0..COUNT {
        let body = format!(r#"{{"status":"completed","n":{number}}}"#);
        upstream.now(&format!("t{number}"), Reply::json(&body));
    }
    let mut ends = 0;
    while ends < COUNT {
        let seen = client.next();
        match seen["event"].as_str() {
            Some("message") => assert!(seen["data"].as_str().unwrap().contains("completed"), "{seen}"),
            Some("end") => ends += 1,
            _ => panic!("{seen}"),
        }
    }
}

/// A stream or a long-poll that nobody reads any more must not go on costing requests.
async fn left(kind: Kind) {
    let Some(tools) = Tools::find(kind) else { return };
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let often =
        [("polling.fresh_for", "100ms"), ("polling.max_interval", "100ms"), ("polling.heartbeat", "60s")];
    let gateway: Gateway = gateway(&upstream, &often).await;
    let proxy = tools.start(gateway.address).await;
    let accept = json!({"Accept": "text/event-stream"});
    let client = proxy.ask(&[("/v1/tasks/a", &accept), ("/v1/tasks/b?wait=50", &json!({}))]);
    let asked = |path: &str| upstream.times().iter().filter(|(_, asked)| asked == path).count();
    until("both are asked about", async || {
        (asked("/v1/tasks/a") >= 3 && asked("/v1/tasks/b") >= 3).then_some(())
    })
    .await;
    drop(client);
    for nobody in ["taskgate_watchers", "taskgate_tasks_wanted"] {
        until_metric(gateway.admin, nobody, 0).await;
    }
}
