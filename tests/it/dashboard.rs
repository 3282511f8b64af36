//! The admin listener's dashboard and purge, byte for byte: who is let in, what is told, and what is forgotten.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use taskgate::app::{self, Listeners};
use taskgate::core::hex::encode as hex;
use taskgate::core::sha256;
use taskgate::core::token::hash;
use taskgate::lifecycle::Lifecycle;
use tempfile::TempDir;

use crate::support::{
    Events, Gateway, KEY, QUICK, Reply, Seen, Upstream, gateway, get, get_with, request, settings, until,
};

const TOKEN: &str = "tg_token-canary";
const DONE: &str = r#"{"status":"completed","secret":"canary-body"}"#;

/// A gateway whose admin listener others reach, and that knows one token.
async fn reachable(upstream: &Upstream) -> (Gateway, SocketAddr, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let tokens = files.path().join("tokens");
    std::fs::write(&tokens, format!("operator {}\n", hex(&hash(TOKEN)))).unwrap();
    let mut settings = QUICK.to_vec();
    settings.extend([("admin.listen", "0.0.0.0:0"), ("access.token_file", tokens.to_str().unwrap())]);
    let gateway = gateway(upstream, &settings).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], gateway.admin.port()));
    (gateway, admin, files)
}

async fn figures(admin: SocketAddr, headers: &str) -> Value {
    let mut events = Events::open(admin, "/events", headers).await;
    serde_json::from_str(Events::data(&events.next().await)).unwrap()
}

/// The text between two marks.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

#[tokio::test]
async fn the_page_is_sealed() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let gateway = gateway(&upstream, &[]).await;
    let page = get(gateway.admin, "/").await;
    assert_eq!((page.status, page.expect("content-type").as_str()), (200, "text/html; charset=utf-8"));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.expect(name), value, "{name}");
    }
    let (text, policy) = (page.text(), page.expect("content-security-policy"));
    let sealed = |part: &str| STANDARD.encode(sha256::hash(part.as_bytes()));
    let script = between(&text, "<script type=\"module\">", "</script>");
    let style = between(&text, "<style>", "</style>");
    assert!(script.len() > 1000 && style.len() > 1000);
    assert!(policy.contains(&format!("script-src 'sha256-{}'", sealed(script))), "{policy}");
    assert!(policy.contains(&format!("style-src 'sha256-{}'", sealed(style))), "{policy}");
    for rule in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    for risky in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
        assert!(!script.contains(risky), "{risky}");
    }
}

#[tokio::test]
async fn the_figures_tell_what_happens_and_no_secret() {
    let upstream = Upstream::start(|_, request| match request.split(' ').nth(1).unwrap() {
        path if path.ends_with("done") => Reply::json(DONE),
        path if path.ends_with("sick") => Reply::new(500, "", "canary-error-body"),
        _ => Reply::json(r#"{"status":"processing"}"#),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    for _ in 0..20 {
        get(gateway.address, "/v1/tasks/a-long-task-id-that-is-done").await;
    }
    get(gateway.address, "/v1/images/a-long-task-id-that-is-sick").await;
    let mut watchers = Vec::new();
    for _ in 0..3 {
        watchers.push(Events::open(gateway.address, "/v1/tasks/ldtask_0123456789abcdef", "").await);
    }
    for watcher in &mut watchers {
        watcher.next().await;
    }
    let start = tokio::time::Instant::now();
    let mut events = Events::open(gateway.admin, "/events", "").await;
    assert!(events.head.contains("content-type: text/event-stream") && events.head.contains("no-store"));
    let seen = events.next().await;
    let text = Events::data(&seen);
    for canary in [KEY, "0123456789abcdef", "a-long-task-id", "canary", "127.0.0.1"] {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
    let now: Value = serde_json::from_str(text).unwrap();
    assert_eq!(now["version"], env!("CARGO_PKG_VERSION"));
    let answers = &now["answers"];
    assert_eq!(answers["refused"], 1, "{answers}");
    // The first request asks. The second and third watcher may come before the landing, or after it: a hit then.
    assert!((19..=21).contains(&answers["hit"].as_u64().unwrap()), "{answers}");
    assert!(answers["handed_out"].as_u64() >= Some(23), "{answers}");
    assert_eq!(answers["handed_out_a_second"].as_array().unwrap().len(), 120);
    assert!(answers["asked"].as_u64() >= Some(3) && answers["saved"].as_u64() > Some(10), "{answers}");
    let sum = |parts: &[&str]| parts.iter().map(|part| answers[*part].as_u64().unwrap()).sum::<u64>();
    let shown = answers["handed_out"].as_u64().unwrap();
    assert_eq!(sum(&["hit", "collapsed", "fetched", "stand_in"]), shown, "{answers}");
    assert_eq!(sum(&["paid", "saved"]), shown, "{answers}");
    assert_eq!(
        (&now["budget"]["gate"], &now["budget"]["configured_per_minute"]),
        (&"open".into(), &80_000.0.into())
    );
    assert_eq!(now["failures"][0]["code"], "upstream_error");
    assert_eq!(
        (&now["failures"][0]["status"], &now["failures"][0]["id"]),
        (&500.into(), &"a-…s-sick".into())
    );
    let tasks = now["tasks"]["shown"].as_array().unwrap();
    let task =
        tasks.iter().find(|task| task["id"] == "ldtask_…abcdef").unwrap_or_else(|| panic!("{tasks:?}"));
    assert_eq!(
        (&task["watchers"], &task["word"], &task["phase"]),
        (&3.into(), &"processing".into(), &"live".into())
    );
    assert_eq!(task["route"], "/v1/tasks/{id}");
    assert!(tasks.iter().any(|task| task["phase"] == "over"), "what has just ended is still to be seen");
    assert_eq!(now["streams"], 3);
    assert!(now["latency"]["p95_ms"].is_u64());
    let second = events.next().await;
    assert_ne!(seen, second);
    // From before the first: however late that is read, the second comes a second after it was made.
    assert!(start.elapsed() >= Duration::from_secs(1), "one a second");
}

/// A task that was due was said to be refreshed now, for as long as the gate stayed closed.
#[tokio::test]
async fn no_refresh_is_announced_while_the_gate_is_closed() {
    let upstream = Upstream::start(|number, _| match number {
        0 => Reply::json(r#"{"status":"processing"}"#),
        _ => Reply::new(429, "Retry-After: 300\r\n", "{}"),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let _watcher = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let closed = async || {
        let figures = figures(gateway.admin, "").await;
        (figures["budget"]["gate"] == "closed").then_some(figures)
    };
    let figures = until("the gate is closed", closed).await;
    let task = &figures["tasks"]["shown"][0];
    assert_eq!((&task["is_held"], &task["in_flight"]), (&true.into(), &false.into()), "{task}");
}

/// The page said that no client asked for anything until the first figures came.
#[tokio::test]
async fn the_page_claims_nothing_before_it_has_figures() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let gateway = gateway(&upstream, &[]).await;
    let page = get(gateway.admin, "/").await.text();
    for claim in ["no-tasks", "no-failures"] {
        let tag = between(&page, &format!("<p id=\"{claim}\""), ">");
        assert!(tag.ends_with(" hidden"), "{claim}:{tag}");
    }
}

#[tokio::test]
async fn away_from_loopback_a_token_is_needed() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let (_gateway, admin, _files) = reachable(&upstream).await;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let cases =
        [("GET", "/events"), ("GET", "/session"), ("POST", "/session"), ("DELETE", "/cache/v1/tasks/a")];
    for (method, path) in cases {
        let answer = request(admin, method, path, "").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (401, "missing_credentials"), "{path}");
        for wrong in ["nobody", "eyJhbGciOiJIUzI1NiJ9.e30.x", &hex(&hash(TOKEN))] {
            let answer = request(admin, method, path, &format!("Authorization: Bearer {wrong}\r\n")).await;
            assert_eq!((answer.status, answer.error_code().as_str()), (401, "invalid_credentials"), "{path}");
        }
        // Nor is there a place for it in a URL.
        assert_eq!(
            request(admin, method, &format!("{path}?ticket={TOKEN}&token={TOKEN}"), "").await.status,
            401
        );
    }
    for (path, status) in [("/", 401), ("/livez", 200), ("/readyz", 200)] {
        assert_eq!(get(admin, path).await.status, status, "{path}");
    }
    let page = get(admin, "/").await;
    assert!(page.text().contains("sign-in"));
    assert_eq!(page.expect("www-authenticate"), "Bearer");
    assert_eq!(get_with(admin, "/", &bearer).await.status, 200);
    assert_eq!(request(admin, "DELETE", "/cache/v1/tasks/a", &bearer).await.status, 204);
    assert!(figures(admin, &bearer).await["version"].is_string());

    let signed_in = request(admin, "POST", "/session", &bearer).await;
    let cookie = signed_in.expect("set-cookie");
    assert_eq!(signed_in.status, 204);
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN) && !cookie.contains(&hex(&hash(TOKEN))));
    let pair = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert!(figures(admin, &pair).await["version"].is_string());
    assert_eq!(request(admin, "DELETE", "/cache/v1/tasks/a", &pair).await.status, 204);
    assert_eq!(get_with(admin, "/session", &pair).await.status, 200);
    assert_eq!(get_with(admin, "/session", &pair.replace("tg_", "tg_0")).await.status, 401);
    let foreign = format!("{pair}Origin: http://evil.example\r\n");
    assert_eq!(
        request(admin, "DELETE", "/cache/v1/tasks/a", &foreign).await.error_code(),
        "origin_not_allowed"
    );
    // A session is none on the main listener, and signing in again with it does not prolong it.
    assert_eq!(request(admin, "POST", "/session", &pair).await.header("set-cookie"), None);
    assert!(request(admin, "DELETE", "/session", &pair).await.expect("set-cookie").contains("Max-Age=0"));
    assert_eq!(get_with(admin, "/session", &pair).await.status, 401);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_token_taken_away_ends_its_sessions_and_streams() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let files = tempfile::tempdir().unwrap();
    let tokens = files.path().join("tokens");
    let line = |token: &str| format!("operator {}\n", hex(&hash(token)));
    let read = |content: String| {
        std::fs::write(&tokens, content).unwrap();
        let extra = [("admin.listen", "0.0.0.0:0"), ("access.token_file", tokens.to_str().unwrap())];
        settings(&upstream.base_url(), &extra)
    };
    let first = read(line(TOKEN));
    let listeners = Listeners::bind(&first).await.unwrap();
    let port = listeners.admin.as_ref().unwrap().local_addr().unwrap().port();
    let admin = SocketAddr::from(([127, 0, 0, 1], port));
    let lifecycle = Lifecycle::default();
    let mut running = app::start(&first, listeners, &lifecycle).unwrap();

    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let cookie = request(admin, "POST", "/session", &bearer).await.expect("set-cookie");
    let session = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    let mut open = Vec::new();
    for headers in [&bearer, &session] {
        let mut events = Events::open(admin, "/events", headers).await;
        assert!(Events::data(&events.next().await).contains("health"));
        open.push(events);
    }
    running.renew(read(line(TOKEN) + &line("another"))).unwrap();
    assert_eq!(get_with(admin, "/session", &session).await.status, 200, "it is still one of them");
    running.renew(read(line("another"))).unwrap();
    for headers in [&bearer, &session] {
        assert_eq!(get_with(admin, "/session", headers).await.status, 401);
    }
    for mut events in open {
        while events.next().await != Seen::End {}
    }
    lifecycle.stop();
}

#[tokio::test]
async fn without_a_token_the_dashboard_says_what_to_set() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let gateway = gateway(&upstream, &[("admin.listen", "0.0.0.0:0")]).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], gateway.admin.port()));
    for (method, path) in [("GET", "/events"), ("POST", "/session"), ("DELETE", "/cache/v1/tasks/a")] {
        let answer = request(admin, method, path, "Authorization: Bearer x\r\n").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (403, "dashboard_closed"), "{path}");
        assert!(answer.text().contains("access.token_file") && answer.text().contains("admin.listen"));
    }
    assert_eq!((get(admin, "/").await.status, get(admin, "/readyz").await.status), (403, 200));
}

#[tokio::test]
async fn no_other_page_sees_or_purges_anything() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let gateway = gateway(&upstream, &[("server.allowed_origins", "https://app.example.com")]).await;
    let admin = gateway.admin;
    let path = "/v1/tasks/a";
    get(gateway.address, path).await;
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:5173\r\n",
        "Origin: https://app.example.com\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        for (method, path) in [("GET", "/events"), ("DELETE", "/cache/v1/tasks/a"), ("POST", "/session")] {
            let answer = request(admin, method, path, headers).await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (403, "origin_not_allowed"),
                "{headers}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        let asks = format!("{headers}Access-Control-Request-Method: DELETE\r\n");
        let preflight = request(admin, "OPTIONS", "/cache/v1/tasks/a", &asks).await;
        assert!(preflight.status >= 400, "{}", preflight.head);
        assert!(!preflight.head.to_lowercase().contains("access-control"), "{}", preflight.head);
    }
    for path in ["/", "/events", "/cache/v1/tasks/a", "/session"] {
        let answer = get_with(admin, path, "Host: rebound.example\r\n").await;
        assert_eq!(answer.error_code(), "host_not_allowed", "{path}");
    }
    get(gateway.address, path).await;
    assert_eq!(upstream.count(), 1, "nothing was purged");
    let own = format!("Origin: http://{admin}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(request(admin, "DELETE", "/cache/v1/tasks/a", &own).await.status, 204);
    let plain = request(admin, "OPTIONS", "/cache/v1/tasks/a", "").await;
    assert_eq!((plain.status, plain.expect("allow").as_str()), (405, "DELETE"));
}

#[tokio::test]
async fn a_purged_task_is_asked_about_again() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let gateway = gateway(&upstream, QUICK).await;
    for _ in 0..3 {
        assert_eq!(get(gateway.address, "/v1/images/a").await.status, 200);
    }
    assert_eq!(upstream.count(), 1);
    for _ in 0..2 {
        let purged = request(gateway.admin, "DELETE", "/cache/v1/images/a", "").await;
        assert_eq!((purged.status, purged.body.len()), (204, 0), "again is no fault");
    }
    assert_eq!(request(gateway.admin, "DELETE", "/cache/v1/images/never-seen", "").await.status, 204);
    assert_eq!(upstream.count(), 1, "nobody has asked");
    get(gateway.address, "/v1/images/a").await;
    assert_eq!(upstream.count(), 2);
    for (path, status, code) in [
        ("/cache/v1/tasks/..", 400, "invalid_task_id"),
        ("/cache/v1/tasks/%61", 400, "invalid_task_id"),
        ("/cache/v1/tasks/a%2fb", 400, "invalid_task_id"),
        ("/cache/v1/tasks/", 400, "invalid_task_id"),
        ("/cache/v1/nothing/a", 404, "unknown_route"),
        ("/cache//v1/tasks/a", 404, "unknown_route"),
        ("/cache/", 404, "unknown_route"),
        ("/cache", 404, "unknown_route"),
    ] {
        let answer = request(gateway.admin, "DELETE", path, "").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{path}");
    }
    let main = request(gateway.address, "DELETE", "/cache/v1/images/a", "").await;
    assert!(main.status >= 400, "not for clients");
}

#[tokio::test]
async fn a_flight_under_way_at_the_purge_is_not_stored() {
    let (reply, hold) = Reply::json(DONE).held();
    let upstream = Upstream::always(reply).await;
    let patient = [QUICK, &[("polling.patience", "2m"), ("upstream.timeout", "2m")]].concat();
    let gateway = gateway(&upstream, &patient).await;
    let purge = async {
        upstream.asked(1).await;
        assert_eq!(request(gateway.admin, "DELETE", "/cache/v1/tasks/a", "").await.status, 204);
        drop(hold);
    };
    let (answer, ()) = tokio::join!(get(gateway.address, "/v1/tasks/a"), purge);
    assert_eq!((answer.status, answer.text().as_str()), (200, DONE), "whoever waits gets it");
    get(gateway.address, "/v1/tasks/a").await;
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn so_many_may_watch_and_no_more() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let gateway = gateway(&upstream, &[]).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut events = Events::open(gateway.admin, "/events", "").await;
        assert!(Events::data(&events.next().await).contains("health"));
        open.push(events);
    }
    let mut late = Events::open(gateway.admin, "/events", "").await;
    assert!(matches!(late.next().await, Seen::Event { name, .. } if name == "busy"));
    assert!(matches!(late.next().await, Seen::Retry(_)), "EventSource comes back by itself");
    assert_eq!(late.next().await, Seen::End);
    drop(open.pop());
    until("there is room again", async || {
        let mut events = Events::open(gateway.admin, "/events", "").await;
        matches!(events.next().await, Seen::Event { name, .. } if name.is_empty()).then_some(())
    })
    .await;
    gateway.lifecycle.stop();
    let mut first = open.swap_remove(0);
    loop {
        match first.next().await {
            Seen::Event { .. } => {}
            seen => {
                assert!(matches!(seen, Seen::Retry(_)), "{seen:?}");
                break;
            }
        }
    }
}
