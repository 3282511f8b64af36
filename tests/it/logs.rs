//! The logs as the program writes them: text for people, JSON for machines, one event a line, and the name of
//! the request in what it causes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::access::jwt;
use crate::support::{ClosedPort, KEY, Reply, Upstream, address, exchange, get_with, serve};

const DONE: &str = r#"{"status":"completed"}"#;
const JSON: (&str, &str) = ("TASKGATE_LOG__FORMAT", "json");
const ACCESS: (&str, &str) = ("TASKGATE_LOG__ACCESS", "true");

fn id(name: &str) -> String {
    format!("X-Request-Id: {name}\r\n")
}

/// Each line is one event.
fn events(log: &str) -> Vec<Value> {
    let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    log.lines().map(event).collect()
}

/// The log of requests that were sent to do harm.
async fn hostile(address: SocketAddr) {
    for (path, headers) in [
        ("/v1/tasks/%0a%1b[31mforged", ""),
        ("/v1/tasks/\u{202e}gpj\u{9b}31m\u{2028}x", ""),
        ("/v1/tasks/a\"b'c\\n=d", ""),
        ("/v1/tasks/a", "X-Request-Id: forged\u{9b}31m id=1\r\n"),
        ("/v1/tasks/a", "X-Request-Id: a\"b\r\n"),
        ("/v1/tasks/a", "Host: forged\u{9b}31m\r\n"),
        ("/v1/tasks/a", "Origin: http://forged\u{9b}\r\n"),
    ] {
        get_with(address, path, headers).await;
    }
    // Bytes that are no HTTP: refused before anything is logged of it, or logged harmlessly.
    for bytes in [
        &b"GET /v1/tasks/a\x1b[31m HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\x1b[31m\nforged\r\n\r\n",
        b"GET /v1/tasks/a\xff\xc2\x9b HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n",
    ] {
        exchange(address, bytes).await;
    }
}

#[tokio::test]
async fn an_access_line_says_who_asked_for_what_and_what_became_of_it() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    for json in [true, false] {
        let format = if json { JSON } else { ("TASKGATE_LOG__FORMAT", "text") };
        let (program, at, _) = serve(&upstream.base_url(), &[format, ACCESS]);
        get_with(at, "/v1/tasks/done?ticket=ticket-canary", &id("web-1")).await;
        get_with(at, "/v1/tasks/done", &id("web-2")).await;
        get_with(at, "/v1/tasks?id=done&ticket=ticket-canary", &id("web-3")).await;
        get_with(at, "/nowhere?ticket=ticket-canary", &id("web-4")).await;
        program.signal("TERM");
        let (_, _, log) = program.end();
        assert!(!log.contains("canary"), "{log}");
        let wanted = [
            ("web-1", "/v1/tasks/done", "task", 200, "miss", "address:127.0.0.1"),
            ("web-2", "/v1/tasks/done", "task", 200, "hit", "address:127.0.0.1"),
            ("web-3", "/v1/tasks", "list", 200, "listed", "address:127.0.0.1"),
            ("web-4", "/nowhere", "other", 404, "unknown_route", "-"),
        ];
        for (id, path, route, status, outcome, client) in wanted {
            if json {
                let events = events(&log);
                let event = events.iter().find(|event| event["request_id"] == id).unwrap();
                let fields = ["method", "path", "route", "status", "outcome", "client", "level", "target"];
                let found = fields.map(|field| event[field].clone());
                let wanted = json!(["GET", path, route, status, outcome, client, "INFO", "taskgate::access"]);
                assert_eq!(json!(found), wanted);
                assert!(event["duration_us"].as_u64().unwrap() > 0 && event["timestamp"].is_string());
            } else {
                let line = log.lines().find(|line| line.contains(id)).unwrap();
                let fields = format!(
                    "request request_id=\"{id}\" method=GET path={path} route=\"{route}\" status={status} \
                     outcome=\"{outcome}\" duration_us="
                );
                assert!(line.contains(&fields) && line.ends_with(&format!(" client={client}")), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn the_trace_of_a_page_is_named_and_goes_no_further() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let upstream = Upstream::always(Reply::json(r#"{"status":"processing"}"#)).await;
    let (program, at, _) = serve(&upstream.base_url(), &[JSON, ACCESS]);
    let trace = format!(
        "traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\ntracestate: parrot=1\r\nbaggage: parrot=2\r\n"
    );
    get_with(at, "/v1/tasks/a", &format!("{trace}{}", id("web-1"))).await;
    get_with(at, "/v1/tasks/b", &format!("sentry-trace: parrot\r\n{}", id("web-2"))).await;
    program.signal("TERM");
    let (_, _, log) = program.end();
    assert!(!log.contains("parrot"), "{log}");
    let events = events(&log);
    let of = |id: &str| events.iter().find(|event| event["request_id"] == id).unwrap()["trace_id"].clone();
    assert_eq!((of("web-1"), of("web-2")), (json!(TRACE), Value::Null));
    let heard = upstream.heard().concat().to_lowercase();
    assert!(!heard.contains("trace") && !heard.contains("parrot"), "{heard}");
}

#[tokio::test]
async fn clients_are_named_without_their_secrets() {
    const SECRET: &str = "a-secret-canary-of-more-than-32-bytes";
    const TOKEN: &str = "tg_token-canary";
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let files = tempfile::tempdir().unwrap();
    let (tokens, secrets) = (files.path().join("tokens"), files.path().join("secrets"));
    let hash = taskgate::core::hex::encode(&taskgate::core::token::hash(TOKEN));
    std::fs::write(&tokens, format!("program {hash}\n")).unwrap();
    std::fs::write(&secrets, SECRET).unwrap();
    let (program, at, _) = serve(
        &upstream.base_url(),
        &[
            JSON,
            ACCESS,
            ("TASKGATE_ACCESS__MODE", "protected"),
            ("TASKGATE_ACCESS__TOKEN_FILE", tokens.to_str().unwrap()),
            ("TASKGATE_ACCESS__TICKET_SECRET_FILE", secrets.to_str().unwrap()),
        ],
    );
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(60);
    let claims = json!({"tasks": ["a"], "exp": soon.as_secs(), "sub": "eve\n\u{1b}[31m\u{202e}\u{9b}"});
    let ticket = jwt(SECRET, r#"{"alg":"HS256"}"#, &claims);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n{}", id("by-token"));
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer).await.status, 200);
    let by_ticket = get_with(at, &format!("/v1/tasks/a?ticket={ticket}"), &id("by-ticket")).await.status;
    get_with(at, "/v1/tasks/a?ticket=ticket-canary", &id("by-none")).await;
    program.signal("TERM");
    let (_, _, log) = program.end();
    assert!(!log.contains("canary") && !log.contains(&ticket) && !log.contains(&hash), "{log}");
    let events = events(&log);
    let client = |id: &str| {
        let event = events.iter().find(|event| event["request_id"] == id).unwrap();
        (event["client"].as_str().unwrap().to_owned(), event["outcome"].as_str().unwrap().to_owned())
    };
    assert_eq!(client("by-token"), ("token:program".to_owned(), "miss".to_owned()));
    assert_eq!(client("by-none"), ("-".to_owned(), "invalid_credentials".to_owned()));
    assert_eq!(by_ticket, 200);
    assert_eq!(client("by-ticket").0, "user:eve\\n\\u{1b}[31m\\u{202e}\\u{9b}");
}

#[tokio::test]
async fn nothing_a_client_sends_can_end_a_line_or_colour_it() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    for json in [true, false] {
        let format = if json { JSON } else { ("TASKGATE_LOG__FORMAT", "text") };
        let (program, at, _) =
            serve(&upstream.base_url(), &[format, ACCESS, ("TASKGATE_LOG__FILTER", "debug")]);
        hostile(at).await;
        get_with(at, "/v1/tasks/a", &id("last")).await;
        program.signal("TERM");
        let (code, _, log) = program.end();
        assert_eq!(code, Some(0));
        assert!(log.contains("taskgate::access") && log.contains("last"), "{log}");
        let odd = |c: &char| {
            *c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}'))
        };
        assert_eq!(log.chars().find(odd), None, "{log}");
        if json {
            for event in events(&log) {
                let texts = event.as_object().unwrap().values().filter_map(Value::as_str);
                for text in texts {
                    assert_eq!(text.chars().find(|c| *c == '\n' || odd(c)), None, "{event}");
                }
            }
        } else {
            for line in log.lines() {
                assert!(line.starts_with("20"), "a line begins with its time: {line}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_request_causes_upstream_is_logged_under_its_name() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("limited") {
            Reply::new(429, "Retry-After: 60\r\n", "{}")
        } else {
            Reply::json(DONE)
        }
    })
    .await;
    let closed = ClosedPort::new();
    let nobody = closed.base_url();
    let (program, at, _) = serve(&upstream.base_url(), &[JSON]);
    get_with(at, "/v1/tasks/limited", &id("web-429")).await;
    program.signal("TERM");
    let (_, _, log) = program.end();
    let limited =
        events(&log).into_iter().find(|event| event["message"].as_str().unwrap().starts_with("429"));
    assert_eq!(limited.unwrap()["span"]["request_id"], "web-429", "{log}");

    // Each way to ask, and a filter that lets through no more than the trouble itself.
    for (number, path, headers) in [
        (0, "/v1/tasks/a", ""),
        (1, "/v1/tasks/a?wait=1", ""),
        (2, "/v1/tasks?id=a", ""),
        (3, "/v1/tasks/a", "Accept: text/event-stream\r\n"),
        (4, "/v1/tasks?id=a", "Accept: text/event-stream\r\n"),
    ] {
        let settings = [
            JSON,
            ("TASKGATE_UPSTREAM__BASE_URL", nobody.as_str()),
            ("TASKGATE_LOG__FILTER", "warn,taskgate::cli=info"),
            ("TASKGATE_POLLING__MAX_STREAM", "1s"),
        ];
        let (program, at, _) = serve(&upstream.base_url(), &settings);
        let name = format!("web-{number}");
        get_with(at, path, &format!("{headers}{}", id(&name))).await;
        let line = program.wait_for_log("no answer from the upstream").pop().unwrap();
        let event = &events(&line)[0];
        assert_eq!(
            (&event["span"]["request_id"], &event["task"]),
            (&json!(name), &json!("/v1/tasks/a")),
            "{event}"
        );
        assert!(event["span"]["name"] == "request" && event["level"] == "WARN", "{event}");
    }
    let text = [("TASKGATE_UPSTREAM__BASE_URL", nobody.as_str())];
    let (program, at, _) = serve(&upstream.base_url(), &text);
    get_with(at, "/v1/tasks/a", &id("web-text")).await;
    let line = program.wait_for_log("no answer from the upstream").pop().unwrap();
    assert!(line.contains("request{request_id=\"web-text\"}"), "{line}");
}

/// The program with everything logged, and nobody to read its log beyond the line that says where it listens.
fn unread(upstream: &Upstream) -> (std::process::Child, BufReader<ChildStderr>, SocketAddr, SocketAddr) {
    let dir = std::env::temp_dir();
    let mut child = Command::new(env!("CARGO_BIN_EXE_taskgate"))
        .arg("serve")
        .current_dir(dir)
        .env_clear()
        .envs([
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_CONFIG", ""),
            ("TASKGATE_ACCESS__MODE", "open"),
            ("TASKGATE_UPSTREAM__BASE_URL", &upstream.base_url()),
            ("TASKGATE_SERVER__LISTEN", "127.0.0.1:0"),
            ("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0"),
            ("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "1000000"),
            ("TASKGATE_LOG__ACCESS", "true"),
            ("TASKGATE_LOG__FILTER", "taskgate=debug,hyper=debug,hyper_util=debug,info"),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("is ready") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ends early");
    }
    let (main, admin) = (address("listen", &line), address("admin", &line));
    (child, log, main, admin)
}

fn lost(page: &str, reason: &str) -> u64 {
    let name = format!("taskgate_log_lines_lost_total{{reason=\"{reason}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// A thousand requests, new tasks and known ones, are all answered, and so is the admin listener. What the page of
/// metrics says.
async fn goes_on(address: SocketAddr, admin: SocketAddr) -> String {
    for number in 0..1000 {
        let answer = get_with(address, &format!("/v1/tasks/{}?x={}", number / 2, "y".repeat(200)), "").await;
        assert_eq!(answer.status, 200, "request {number}");
    }
    String::from_utf8(get_with(admin, "/metrics", "").await.body).unwrap()
}

fn exit_code(mut child: std::process::Child) -> Option<i32> {
    let status = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let start = std::time::Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            panic!("the log holds up the end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn a_log_whose_reader_is_gone_stops_nothing() {
    // `taskgate 2>&1 | head -1` ended in exit code 101, and with debug lines at once.
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let (child, log, address, admin) = unread(&upstream);
    drop(log);
    let page = goes_on(address, admin).await;
    assert!(lost(&page, "failed") > 0, "{page}");
    assert_eq!(exit_code(child), Some(0));
}

#[tokio::test]
async fn a_log_whose_reader_is_stuck_stops_nothing() {
    // A pipe that nobody read stopped everything after 286 requests, the admin listener too.
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let (child, log, address, admin) = unread(&upstream);
    let mut page = String::new();
    // The pipe holds 64 KiB, the queue a megabyte.
    for _ in 0..20 {
        page = goes_on(address, admin).await;
        if lost(&page, "full") > 0 {
            break;
        }
    }
    assert!(lost(&page, "full") > 0, "{page}");
    assert_eq!(exit_code(child), Some(0));
    drop(log);
}

#[tokio::test]
async fn a_log_that_is_read_late_has_its_last_lines() {
    let upstream = Upstream::always(Reply::json(DONE)).await;
    let (child, mut log, address, _) = unread(&upstream);
    for number in 0..20 {
        get_with(address, "/v1/tasks/a", &id(&format!("late-{number}"))).await;
    }
    assert_eq!(exit_code(child), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("late-19") && rest.trim_end().ends_with("stopped"), "{rest}");
}
