//! The right to read a task: two tenants, every endpoint, every state of what is known, and every way
//! to forge a ticket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use taskgate::core::hex::encode as hex;
use taskgate::core::token::hash;
use tempfile::TempDir;

use crate::support::{
    Answer, Events, Gateway, QUICK, Reply, Seen, Upstream, gateway, get, get_with, request, until_stale,
};

pub const SECRET: &str = "a-secret-of-more-than-32-bytes-for-tests";
const OTHER: &str = "another-secret-of-more-than-32-bytes-xx";
pub const TOKEN: &str = "tg_token-canary";

/// A protected gateway that knows one token and one secret.
struct Protected {
    gateway: Gateway,
    _files: TempDir,
}

async fn protected(upstream: &Upstream, extra: &[(&str, &str)]) -> Protected {
    let files = tempfile::tempdir().unwrap();
    let (tokens, secrets) = (files.path().join("tokens"), files.path().join("secrets"));
    std::fs::write(&tokens, format!("program {}\n", hex(&hash(TOKEN)))).unwrap();
    std::fs::write(&secrets, SECRET).unwrap();
    let mut settings = QUICK.to_vec();
    settings.extend([
        ("access.mode", "protected"),
        ("access.token_file", tokens.to_str().unwrap()),
        ("access.ticket_secret_file", secrets.to_str().unwrap()),
    ]);
    settings.extend(extra);
    Protected { gateway: gateway(upstream, &settings).await, _files: files }
}

pub fn soon(seconds: f64) -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + seconds
}

/// A JWT made by hand: what a library would never write, an attacker does.
pub fn jwt(secret: &str, header: &str, claims: &serde_json::Value) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header.to_owned()), part(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

pub const HS256: &str = r#"{"alg":"HS256"}"#;

pub fn ticket(tasks: &[&str], lasts: f64) -> String {
    jwt(SECRET, HS256, &serde_json::json!({"tasks": tasks, "exp": soon(lasts)}))
}

pub fn bearer(credentials: &str) -> String {
    format!("Authorization: Bearer {credentials}\r\n")
}

/// Says a task's own name in its body, so that a leak shows.
async fn telling() -> Upstream {
    Upstream::start(|_, request| {
        let id = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        let status = if id.starts_with("done") { "completed" } else { "processing" };
        match id.as_str() {
            "gone" => Reply::new(404, "", r#"{"error":{"message":"secret-of-gone"}}"#),
            _ => Reply::json(&format!(r#"{{"status":"{status}","secret":"secret-of-{id}"}}"#)),
        }
    })
    .await
}

#[tokio::test]
async fn credentials_are_asked_for_before_anything_is_looked_up() {
    let upstream = telling().await;
    let Protected { gateway, _files } = &protected(&upstream, &[]).await;
    let at = gateway.address;
    let missing = get(at, "/v1/tasks/a").await;
    assert_eq!((missing.status, missing.error_code().as_str()), (401, "missing_credentials"));
    assert_eq!(missing.expect("www-authenticate"), "Bearer");
    for (credentials, says) in [
        ("nobody", "not known here"),
        ("sk-0123456789", "belongs on the server"),
        ("eyJhbGciOiJIUzI1NiJ9.x.y", "is not valid"),
        (&hex(&hash(TOKEN)), "not known here"),
    ] {
        let answer = get_with(at, "/v1/tasks/a", &bearer(credentials)).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (401, "invalid_credentials"));
        assert_eq!(answer.expect("www-authenticate"), "Bearer error=\"invalid_token\"");
        assert!(answer.text().contains(says), "{credentials}: {}", answer.text());
    }
    let twice = format!("{}{}", bearer(TOKEN), bearer(TOKEN));
    assert_eq!(get_with(at, "/v1/tasks/a", &twice).await.status, 401);
    assert_eq!(
        get_with(at, "/v1/tasks/a", "Authorization: Bearer\r\n").await.error_code(),
        "missing_credentials"
    );
    // Meant for a proxy in front, so there are none for the gateway.
    let basic = get_with(at, "/v1/tasks/a", "Authorization: Basic dTpw\r\n").await;
    assert_eq!(basic.error_code(), "missing_credentials");
    // A token has no place in a URL.
    assert_eq!(get(at, &format!("/v1/tasks/a?ticket={TOKEN}")).await.status, 401);
    assert_eq!(upstream.count(), 0);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let answer = get_with(at, "/v1/tasks/a", &format!("Authorization: {scheme} {TOKEN}\r\n")).await;
        assert_eq!(answer.status, 200);
    }
    for path in ["/livez"] {
        assert_eq!(get(at, path).await.status, 200, "{path} tells no secret");
    }
}

/// Every endpoint, for tasks that are kept, live, gone and never asked for.
#[tokio::test]
async fn a_ticket_opens_its_own_tasks_and_no_others_by_any_way() {
    let upstream = telling().await;
    let Protected { gateway, _files } = &protected(&upstream, &[]).await;
    let at = gateway.address;
    let theirs = ["done1", "live1", "gone", "never1"];
    for id in &theirs[..3] {
        get_with(at, &format!("/v1/tasks/{id}"), &bearer(TOKEN)).await;
        get_with(at, &format!("/v1/images/{id}"), &bearer(TOKEN)).await;
    }
    // Live states are stale by now.
    until_stale(at, &upstream, "/v1/tasks/clock", &bearer(TOKEN)).await;
    let asked = upstream.count();
    let mine = ticket(&["mine", "done2"], 60.0);
    let shown = bearer(&mine);
    let mut answers = Vec::new();
    for id in theirs {
        for path in [format!("/v1/tasks/{id}"), format!("/v1/images/{id}"), format!("/v1/tasks/{id}?wait=1")]
        {
            for method in ["GET", "HEAD"] {
                answers.push(request(at, method, &path, &shown).await);
            }
            answers.push(request(at, "GET", &path, &format!("{shown}Accept: text/event-stream\r\n")).await);
            answers.push(request(at, "GET", &path, &format!("{shown}If-None-Match: *\r\n")).await);
            let join = if path.contains('?') { '&' } else { '?' };
            answers.push(get(at, &format!("{path}{join}ticket={mine}")).await);
        }
    }
    let first = &answers[0];
    for answer in &answers {
        assert_eq!(answer.status, 403, "{answer:?}");
        if !answer.body.is_empty() {
            assert_eq!(answer.body, first.body, "whether the task exists does not show");
        }
        let head = |answer: &Answer| -> Vec<String> {
            let told = |line: &&str| !line.starts_with("x-request-id:") && !line.starts_with("date:");
            answer.head.lines().filter(told).map(str::to_owned).collect()
        };
        assert_eq!(head(answer), head(first), "nor in a header");
    }
    assert_eq!(first.error_code(), "ticket_not_for_task");
    // In the list a foreign task spoils only itself, and tells nothing.
    let list =
        get_with(at, "/v1/tasks?id=done1&id=live1&id=gone&id=never1&id=/v1/images/done1&id=done2", &shown);
    let list = list.await;
    assert_eq!(list.status, 200);
    for foreign in ["secret-of-done1", "secret-of-live1", "secret-of-gone", "secret-of-never1"] {
        assert!(!list.text().contains(foreign), "{}", list.text());
    }
    assert_eq!(list.text().matches("ticket_not_for_task").count(), 5);
    assert!(list.text().contains("secret-of-done2"));
    let mut events = Events::open(at, "/v1/tasks?id=done1&id=live1&id=done2", &shown).await;
    let mut all = String::new();
    loop {
        match events.next().await {
            Seen::End => break,
            seen => all += &format!("{seen:?}"),
        }
    }
    assert!(all.contains("secret-of-done2") && !all.contains("secret-of-done1"), "{all}");
    assert!(!all.contains("secret-of-live1") && all.contains("done"), "{all}");
    assert_eq!(upstream.count(), asked + 1, "the one that was theirs to ask for");
    // Nothing of all that was forbidden to its owner.
    assert!(get_with(at, "/v1/tasks/done2", &shown).await.text().contains("secret-of-done2"));
    assert!(get(at, &format!("/v1/images/mine?ticket={mine}")).await.text().contains("secret-of-mine"));
}

#[tokio::test]
async fn no_forged_ticket_opens_anything() {
    let upstream = telling().await;
    let Protected { gateway, _files } = &protected(&upstream, &[]).await;
    let claims = serde_json::json!({"tasks": ["a"], "exp": soon(60.0).floor()});
    let good = jwt(SECRET, HS256, &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let wider = URL_SAFE_NO_PAD.encode(r#"{"tasks":["a","b"],"exp":9999999999}"#);
    let with = |claims: serde_json::Value| jwt(SECRET, HS256, &claims);
    let exp = soon(60.0).floor();
    for (forged, why) in [
        (format!("{none}.{}.", parts[1]), "no algorithm, no signature"),
        (format!("{none}.{}.{}", parts[1], parts[2]), "no algorithm"),
        (format!("{}.{}.", parts[0], parts[1]), "no signature"),
        (format!("{}.{wider}.{}", parts[0], parts[2]), "other claims"),
        (jwt(OTHER, HS256, &claims), "another secret"),
        (jwt("", HS256, &claims), "an empty secret"),
        (jwt(SECRET, r#"{"alg":"HS384"}"#, &claims), "another algorithm"),
        (jwt(SECRET, r#"{"alg":"RS256"}"#, &claims), "an algorithm with public keys"),
        (with(serde_json::json!({"tasks": ["a"]})), "no end"),
        (with(serde_json::json!({"tasks": ["a"], "exp": exp.to_string()})), "its end as text"),
        (with(serde_json::json!({"tasks": ["a"], "exp": soon(-1.0)})), "expired"),
        (with(serde_json::json!({"tasks": ["a"], "exp": soon(86_500.0)})), "too long"),
        (with(serde_json::json!({"tasks": "a", "exp": exp})), "tasks as text"),
        (with(serde_json::json!({"exp": exp})), "no tasks"),
        (with(serde_json::json!({"tasks": ["a"], "exp": exp, "nbf": soon(30.0)})), "not yet"),
        (with(serde_json::json!({"tasks": ["a"], "exp": exp, "aud": "x"})), "for another recipient"),
    ] {
        for way in [
            get_with(gateway.address, "/v1/tasks/a", &bearer(&forged)).await,
            get(gateway.address, &format!("/v1/tasks/a?ticket={forged}")).await,
            get_with(gateway.address, "/v1/tasks?id=a", &bearer(&forged)).await,
            get_with(
                gateway.address,
                "/v1/tasks/a",
                &format!("{}Accept: text/event-stream\r\n", bearer(&forged)),
            )
            .await,
        ] {
            assert_eq!((way.status, way.error_code().as_str()), (401, "invalid_credentials"), "{why}");
        }
    }
    assert_eq!(upstream.count(), 0);
    assert_eq!(get_with(gateway.address, "/v1/tasks/a", &bearer(&good)).await.status, 200);
    // Authorization wins over the parameter.
    let answer = get_with(gateway.address, &format!("/v1/tasks/a?ticket={good}"), &bearer("nobody")).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn streams_and_long_polls_end_when_their_ticket_does() {
    let upstream = telling().await;
    let Protected { gateway, _files } = &protected(&upstream, &[("polling.max_wait", "10m")]).await;
    let at = gateway.address;
    let start = tokio::time::Instant::now();
    let brief = ticket(&["a", "b"], 3.0);
    let one = async {
        let mut events = Events::open(at, &format!("/v1/tasks/a?ticket={brief}"), "").await;
        assert!(Events::data(&events.next().await).contains("secret-of-a"));
        let last = events.next().await;
        assert!(matches!(&last, Seen::Event { name, .. } if name == "trouble"), "{last:?}");
        assert!(Events::data(&last).contains("has expired"));
        assert_eq!(events.next().await, Seen::End);
    };
    let many = async {
        let mut events = Events::open(at, &format!("/v1/tasks?id=a&id=b&ticket={brief}"), "").await;
        let mut seen = Vec::new();
        loop {
            match events.next().await {
                Seen::End => break,
                event => seen.push(event),
            }
        }
        let told = |words: &str| seen.iter().any(|event| Events::data(event).contains(words));
        assert!(told("secret-of-a") && told("secret-of-b") && told("has expired"), "{seen:?}");
    };
    let wait = async {
        let answer = get_with(at, "/v1/tasks/a?wait=600", &bearer(&brief)).await;
        assert_eq!(answer.status, 200, "the latest, as at the end of any wait");
    };
    tokio::join!(one, many, wait);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}: by its own end each would last far longer");
    assert!(took >= Duration::from_millis(2900), "{took:?}: not before either");
    assert_eq!(get(at, &format!("/v1/tasks/a?ticket={brief}")).await.status, 401, "EventSource ends here");
}

/// It lasted until the next heartbeat.
#[tokio::test]
async fn a_stream_that_was_told_nothing_ends_when_its_ticket_does() {
    let (never, _hold) = Reply::json("{}").held();
    let upstream = Upstream::always(never).await;
    let Protected { gateway, _files } =
        &protected(&upstream, &[("polling.heartbeat", "10m"), ("upstream.timeout", "30s")]).await;
    for path in ["/v1/tasks/a?", "/v1/tasks?id=a&id=b&"] {
        let brief = ticket(&["a", "b"], 2.0);
        let start = tokio::time::Instant::now();
        let mut events = Events::open(gateway.address, &format!("{path}ticket={brief}"), "").await;
        let mut told = false;
        loop {
            match events.next().await {
                Seen::End => break,
                event => told |= Events::data(&event).contains("has expired"),
            }
        }
        assert!(told && start.elapsed() < Duration::from_secs(9), "{path}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_user_is_one_client_wherever_it_comes_from_and_no_other() {
    let upstream = telling().await;
    let limits = [("limits.requests_per_second", "2")];
    let Protected { gateway, _files } = &protected(&upstream, &limits).await;
    let by = |user: &str| {
        let claims = serde_json::json!({"tasks": ["a"], "exp": soon(60.0), "sub": user});
        bearer(&jwt(SECRET, HS256, &claims))
    };
    let mut refused = 0;
    for _ in 0..20 {
        refused += usize::from(get_with(gateway.address, "/v1/tasks/a", &by("ann")).await.status == 429);
    }
    assert!(refused > 0, "twenty requests of a user, two a second");
    assert_eq!(get_with(gateway.address, "/v1/tasks/a", &by("bob")).await.status, 200);
    // A user named like a token is not its holder.
    for _ in 0..20 {
        get_with(gateway.address, "/v1/tasks/a", &by("program")).await;
    }
    assert_eq!(get_with(gateway.address, "/v1/tasks/a", &bearer(TOKEN)).await.status, 200);
}

#[tokio::test]
async fn open_mode_looks_at_no_credentials() {
    let upstream = telling().await;
    let gateway = gateway(&upstream, QUICK).await;
    for headers in [String::new(), bearer("sk-whatever"), bearer("eyJ.x.y")] {
        assert_eq!(get_with(gateway.address, "/v1/tasks/a", &headers).await.status, 200);
    }
}

#[tokio::test]
async fn cancelling_takes_a_right_of_its_own() {
    let cancelled = r#"{"status":"failed","cancelled":true}"#;
    let upstream = Upstream::start(move |_, request| {
        if request.starts_with("DELETE") {
            Reply::json(cancelled)
        } else {
            Reply::json(r#"{"status":"processing"}"#)
        }
    })
    .await;
    let off = protected(&upstream, &[]).await;
    let refused = request(off.gateway.address, "DELETE", "/v1/tasks/a", &bearer(TOKEN)).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (405, "method_not_allowed"));
    assert_eq!(refused.expect("allow"), "GET, HEAD, OPTIONS");
    let Protected { gateway, _files } = &protected(&upstream, &[("access.allow_cancel", "true")]).await;
    let at = gateway.address;
    let claims = |cancel: bool| serde_json::json!({"tasks": ["a"], "exp": soon(60.0), "cancel": cancel});
    let may = bearer(&jwt(SECRET, HS256, &claims(true)));
    let may_not = bearer(&jwt(SECRET, HS256, &claims(false)));
    for (headers, path, status, code) in [
        ("", "/v1/tasks/a", 401, "missing_credentials"),
        (may_not.as_str(), "/v1/tasks/a", 403, "ticket_not_for_task"),
        (may.as_str(), "/v1/tasks/b", 403, "ticket_not_for_task"),
        (may.as_str(), "/v1/tasks/..", 400, "invalid_task_id"),
        (may.as_str(), "/v1/tasks", 405, "method_not_allowed"),
        (may.as_str(), "/v1/images/a", 405, "method_not_allowed"),
        (&format!("{may}Content-Length: 2\r\n"), "/v1/tasks/a", 400, "body_not_allowed"),
    ] {
        let answer = request(at, "DELETE", path, headers).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{path} {headers}");
    }
    assert_eq!(upstream.count(), 0);
    let mut events = Events::open(at, "/v1/tasks/a", &bearer(TOKEN)).await;
    assert!(Events::data(&events.next().await).contains("processing"));
    let answer = request(at, "DELETE", "/v1/tasks/a?x=1", &format!("{may}X-Evil: 1\r\nCookie: c\r\n")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, cancelled));
    assert_eq!(answer.expect("cache-status"), "taskgate; fwd=method; fwd-status=200; stored");
    assert_eq!(answer.expect("cache-control"), "no-store");
    assert_eq!(Events::data(&events.next().await), cancelled, "whoever watches is told");
    assert_eq!(events.next().await, Seen::End);
    let heard = upstream.heard();
    let deletes: Vec<_> = heard.iter().filter(|request| request.starts_with("DELETE")).collect();
    assert_eq!(deletes.len(), 1);
    let get_like = heard.iter().find(|request| request.starts_with("GET")).unwrap();
    assert_eq!(deletes[0].replacen("DELETE", "GET", 1), *get_like, "nothing of the client is in it");
    let asked = upstream.count();
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(TOKEN)).await.text(), cancelled);
    assert_eq!(upstream.count(), asked, "the end is kept");
}

#[tokio::test]
async fn a_cancellation_that_fails_is_told_as_it_is_and_never_repeated() {
    for (reply, status, body_or_code) in [
        (Reply::new(409, "", r#"{"error":{"code":"task_not_cancellable"}}"#), 409, "task_not_cancellable"),
        (Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#), 404, "async_task_not_found"),
        (Reply::new(204, "", ""), 204, ""),
        (Reply::new(500, "", "{}"), 502, "upstream_error"),
        (Reply::new(429, "Retry-After: 7\r\n", "{}"), 429, "upstream_rate_limited"),
        (Reply::new(200, "", "OK"), 200, ""),
        (Reply::new(200, "", r#"{"error":"no"}"#), 502, "upstream_invalid_response"),
        (Reply::new(405, "Content-Type: text/html\r\n", "<html>405</html>"), 502, "cannot cancel this task"),
        (Reply::raw("", crate::support::End::Close), 502, "upstream_unreachable"),
        (Reply::raw("HTTP/1.1 200 OK\r\n", crate::support::End::Reset), 502, "upstream_unreachable"),
        (Reply::raw("", crate::support::End::Hang), 504, "upstream_timeout"),
    ] {
        let upstream = Upstream::always(reply).await;
        let extra =
            [("access.allow_cancel", "true"), ("upstream.timeout", "1s"), ("upstream.connect_timeout", "1s")];
        let Protected { gateway, _files } = &protected(&upstream, &extra).await;
        let answer = request(gateway.address, "DELETE", "/v1/tasks/a", &bearer(TOKEN)).await;
        assert_eq!(answer.status, status);
        assert!(answer.text().contains(body_or_code), "{}", answer.text());
        assert_eq!(upstream.count(), 1, "{body_or_code}");
    }
}
