//! Tokens and tickets as an operator handles them: made by the program, let in, and exchanged while it runs.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::support::{
    End, Events, KEY, Program, Reply, Seen, Upstream, exchange, get, get_with, program, request,
    until as until_some,
};

const SECRET: &str = "a-secret-of-more-than-32-bytes-for-tests";
const OTHER: &str = "another-secret-of-more-than-32-bytes-xx";

/// A new token and its line, as the program prints them.
fn token(name: &str) -> (String, String) {
    let (code, stdout, stderr) = program(&["token", name], &[], &[]).end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = stdout.lines().map(str::trim).collect();
    (lines[1].to_owned(), lines[3].to_owned())
}

/// A ticket, as the program prints it.
fn ticket(secret: &Path, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["ticket"].iter().chain(arguments).copied().collect();
    let env = [("TASKGATE_ACCESS__TICKET_SECRET_FILE", secret.to_str().unwrap())];
    let (code, stdout, stderr) = program(&all, &env, &[]).end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "it needs no API key");
    stdout.trim().to_owned()
}

fn bearer(credentials: &str) -> String {
    format!("Authorization: Bearer {credentials}\r\n")
}

fn serve(env: &[(&str, &str)], files: &[(&str, &str)]) -> (Program, SocketAddr, SocketAddr) {
    let mut all = vec![("TASKGATE_SERVER__LISTEN", "127.0.0.1:0"), ("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0")];
    all.extend_from_slice(env);
    let program = program(&["serve"], &all, files);
    let (main, admin) = program.addresses();
    (program, main, admin)
}

/// Puts a file in place as a whole, as operators and orchestrators do.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[tokio::test]
async fn what_the_program_makes_the_program_takes() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let dir = tempfile::tempdir().unwrap();
    let (tokens, secret) = (dir.path().join("tokens"), dir.path().join("secret"));
    let (token, line) = token("web");
    std::fs::write(&tokens, line).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    let base_url = upstream.base_url();
    let (_program, at, _) = serve(
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_ACCESS__TOKEN_FILE", tokens.to_str().unwrap()),
            ("TASKGATE_ACCESS__TICKET_SECRET_FILE", secret.to_str().unwrap()),
        ],
        &[],
    );
    assert_eq!(get(at, "/v1/tasks/a").await.status, 401, "protected is the default");
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&token)).await.status, 200);
    let ticket = ticket(&secret, &["a", "b", "--ttl", "1m"]);
    for (path, status) in [("/v1/tasks/a", 200), ("/v1/tasks/b", 200), ("/v1/tasks/c", 403)] {
        assert_eq!(get(at, &format!("{path}?ticket={ticket}")).await.status, status, "{path}");
    }
}

#[test]
fn a_ticket_that_cannot_be_made_says_why() {
    for (arguments, exit, says) in [
        (&["ticket"][..], 2, "TASK_ID"),
        (&["ticket", "a/b"], 2, "A-Z a-z 0-9"),
        (&["ticket", "a", "--ttl", "25h"], 2, "24h"),
        (&["ticket", "a", "--ttl", "0s"], 2, "1s to 24h"),
        (&["ticket", "a", "--ttl", "soon"], 2, "15m"),
        (&["ticket", "a"], 78, "access.ticket_secret_file"),
        (&["token"], 2, "NAME"),
        (&["token", "two words"], 2, "A-Z a-z 0-9"),
        (&["token", "tg_web"], 2, "does not begin"),
    ] {
        let (code, _, stderr) = program(arguments, &[], &[]).end();
        assert_eq!(code, Some(exit), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    let env = [("TASKGATE_ACCESS__TICKET_SECRET_FILE", "secret")];
    let (code, _, stderr) = program(&["ticket", "a"], &env, &[("secret", "short")]).end();
    assert_eq!(code, Some(78));
    assert!(stderr.contains("32 bytes") && !stderr.contains("short\n"), "{stderr}");
}

/// Whatever is sent as credentials, and wherever, shows in no answer and no line of the log (contract: "never
/// logged"), and goes to nobody else.
#[tokio::test]
async fn credentials_show_nowhere() {
    const CANARY: &str = "canary-credentials-0123456789";
    let upstream = Upstream::start(|number, _| match number % 3 {
        0 => Reply::json(r#"{"status":"processing"}"#),
        1 => Reply::new(500, "", "{}"),
        _ => Reply::json("no JSON"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (tokens, secret) = (dir.path().join("tokens"), dir.path().join("secret"));
    let (token, line) = token("web");
    std::fs::write(&tokens, &line).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    let ticket = ticket(&secret, &["a", "--sub", "ann"]);
    let base_url = upstream.base_url();
    let (program, at, admin) = serve(
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_ACCESS__TOKEN_FILE", tokens.to_str().unwrap()),
            ("TASKGATE_ACCESS__TICKET_SECRET_FILE", secret.to_str().unwrap()),
            ("TASKGATE_ACCESS__ALLOW_CANCEL", "true"),
            ("TASKGATE_LOG__FILTER", "trace"),
            ("TASKGATE_LOG__ACCESS", "true"),
            ("TASKGATE_POLLING__FRESH_FOR", "10ms"),
            ("TASKGATE_POLLING__MAX_INTERVAL", "10ms"),
            ("RUST_BACKTRACE", "full"),
        ],
        &[],
    );
    let mut shown = String::new();
    let forged = format!("eyJhbGciOiJIUzI1NiJ9.{CANARY}.{CANARY}");
    for credentials in [CANARY, &forged, &token, &ticket, &format!("sk-{CANARY}")] {
        for path in ["/v1/tasks/a", "/v1/tasks/b", "/v1/tasks?id=a", "/nowhere", "/v1/tasks/%00", "/livez"] {
            for method in ["GET", "DELETE", "POST", "OPTIONS"] {
                for (target, headers) in [
                    (path.to_owned(), bearer(credentials)),
                    (
                        format!("{path}{}ticket={credentials}", if path.contains('?') { '&' } else { '?' }),
                        String::new(),
                    ),
                    (path.to_owned(), format!("Authorization: Basic {credentials}\r\n")),
                    (path.to_owned(), format!("{}{}", bearer(credentials), bearer(credentials))),
                ] {
                    for address in [at, admin] {
                        let answer = request(address, method, &target, &headers).await;
                        shown += &format!("{}\n{}\n", answer.head, answer.text());
                    }
                }
            }
        }
    }
    let garbage =
        format!("GET /v1/tasks/a?ticket={ticket} HTTP/9.9\r\nAuthorization: Bearer {token}\r\n\r\n");
    shown += &String::from_utf8_lossy(&exchange(at, garbage.as_bytes()).await);
    shown += &upstream.heard().join("\n");
    program.signal("TERM");
    let (_, stdout, stderr) = program.end();
    assert!(stderr.contains("taskgate::access"), "the access log was on");
    shown += &format!("{stdout}{stderr}");
    let hash = line.split(' ').nth(1).unwrap();
    for secret in [CANARY, &token, &ticket, SECRET, hash] {
        assert!(
            !shown.contains(secret),
            "{secret} in …{}",
            &shown[shown.find(secret).unwrap().saturating_sub(300)..][..600]
        );
    }
}

/// Asks until the answer is the one that is to come. Files are looked at about once a second.
async fn until(status: u16, at: SocketAddr, path: &str, headers: &str) {
    until_some(&format!("{path} is {status}"), async || {
        (get_with(at, path, headers).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn files_are_exchanged_while_streams_go_on() {
    let upstream =
        Upstream::start(|number, _| Reply::json(&format!(r#"{{"status":"processing","n":{number}}}"#))).await;
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let (one, line_one) = token("one");
    let (two, line_two) = token("two");
    std::fs::write(file("tokens"), &line_one).unwrap();
    std::fs::write(file("secret"), SECRET).unwrap();
    let base_url = upstream.base_url();
    let (program, at, _) = serve(
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_ACCESS__TOKEN_FILE", file("tokens").to_str().unwrap()),
            ("TASKGATE_ACCESS__TICKET_SECRET_FILE", file("secret").to_str().unwrap()),
            ("TASKGATE_POLLING__FRESH_FOR", "100ms"),
            ("TASKGATE_POLLING__MAX_INTERVAL", "100ms"),
        ],
        &[],
    );
    let mut stream = Events::open(at, "/v1/tasks/a", &bearer(&one)).await;
    Events::data(&stream.next().await);
    let old_ticket = ticket(&file("secret"), &["a"]);

    // A token more, then the first one gone.
    replace(&file("tokens"), &format!("{line_one}\n{line_two}\n"));
    until(200, at, "/v1/tasks/a", &bearer(&two)).await;
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&one)).await.status, 200);
    replace(&file("tokens"), &line_two);
    until(401, at, "/v1/tasks/a", &bearer(&one)).await;

    // A new secret signs, the old one still verifies, then no longer.
    replace(&file("secret"), &format!("{OTHER}\n{SECRET}\n"));
    std::fs::write(file("other"), OTHER).unwrap();
    let new_ticket = ticket(&file("other"), &["a"]);
    until(200, at, &format!("/v1/tasks/a?ticket={new_ticket}"), "").await;
    assert_eq!(get(at, &format!("/v1/tasks/a?ticket={old_ticket}")).await.status, 200);
    replace(&file("secret"), OTHER);
    until(401, at, &format!("/v1/tasks/a?ticket={old_ticket}"), "").await;

    // A file at fault changes nothing, and is told; once it is mended it counts again. Written in place, as those
    // have to who mount the file itself.
    std::fs::write(file("tokens"), "nonsense").unwrap();
    let log = program.wait_for_log("at fault").join("\n");
    assert!(!log.contains("nonsense"), "{log}");
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&two)).await.status, 200);
    std::fs::write(file("tokens"), &line_one).unwrap();
    until(200, at, "/v1/tasks/a", &bearer(&one)).await;
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&two)).await.status, 401);

    // An emptied file lets nobody in, as it says.
    std::fs::write(file("tokens"), "").unwrap();
    until(401, at, "/v1/tasks/a", &bearer(&one)).await;

    // The stream of before tells what happens now.
    let asked = upstream.count();
    loop {
        let seen = stream.next().await;
        assert!(matches!(&seen, Seen::Event { name, .. } if name.is_empty()), "{seen:?}");
        let state: serde_json::Value = serde_json::from_str(Events::data(&seen)).unwrap();
        if state["n"].as_u64().unwrap() >= asked as u64 {
            break;
        }
    }
}

/// A pipe would keep whoever opens it waiting for ever; a drive that is gone does the same.
#[tokio::test]
async fn a_file_that_cannot_be_read_holds_nothing_up() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let (one, line_one) = token("one");
    std::fs::write(&tokens, &line_one).unwrap();
    let base_url = upstream.base_url();
    let env = [
        ("LEMONDATA_API_KEY", KEY),
        ("TASKGATE_UPSTREAM__BASE_URL", base_url.as_str()),
        ("TASKGATE_ACCESS__TOKEN_FILE", tokens.to_str().unwrap()),
        ("TOKIO_WORKER_THREADS", "1"),
    ];
    let (server, at, admin) = serve(&env, &[]);
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&one)).await.status, 200);
    std::fs::remove_file(&tokens).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&tokens).status().unwrap().success());
    server.wait_for_log("no regular file");
    assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&one)).await.status, 200);
    assert_eq!(get(admin, "/livez").await.status, 200);
    let (code, _, stderr) = program(&["check"], &env, &[]).end();
    assert!(code == Some(78) && stderr.contains("no regular file"), "{stderr}");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

/// An answer may come after the key that asked for it was replaced, even more than once: none of them shows.
#[tokio::test]
async fn an_answer_that_outlasts_its_key_shows_none() {
    const KEYS: [&str; 3] = ["sk-first-0123456789", "sk-second-0123456789", "sk-third-0123456789"];
    let (held, hold) = Reply::json("").held();
    let upstream = Upstream::start(move |_, request| {
        let sent = request.lines().find(|line| line.to_lowercase().starts_with("authorization")).unwrap();
        let reply = Reply::json(&format!(r#"{{"status":"completed","echo":"{sent}"}}"#));
        if sent.contains("first") { Reply { held: held.held.clone(), ..reply } } else { reply }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, KEYS[0]).unwrap();
    let base_url = upstream.base_url();
    let (server, at, _) = serve(
        &[
            ("LEMONDATA_API_KEY_FILE", key.to_str().unwrap()),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_ACCESS__MODE", "open"),
        ],
        &[],
    );
    let asked = tokio::spawn(async move { get(at, "/v1/tasks/a?wait=30").await });
    upstream.asked(1).await;
    for next in &KEYS[1..] {
        replace(&key, next);
        server.signal("HUP");
        server.wait_for_log("a new API key");
    }
    drop(hold);
    let answer = asked.await.unwrap();
    assert!(answer.status == 200 && answer.text().contains("***"), "{}", answer.text());
    assert!(!answer.text().contains("sk-"), "{}", answer.text());
    assert!(upstream.heard()[0].contains(KEYS[0]));
}

#[tokio::test]
async fn a_cancellation_under_way_is_answered_in_a_drain() {
    let upstream = Upstream::always(Reply::raw("", End::Hang)).await;
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let (one, line_one) = token("one");
    std::fs::write(&tokens, &line_one).unwrap();
    let base_url = upstream.base_url();
    let (server, at, _) = serve(
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_ACCESS__TOKEN_FILE", tokens.to_str().unwrap()),
            ("TASKGATE_ACCESS__ALLOW_CANCEL", "true"),
            ("TASKGATE_SERVER__SHUTDOWN_GRACE", "6s"),
        ],
        &[],
    );
    let headers = bearer(&one);
    let asked = tokio::spawn(async move { request(at, "DELETE", "/v1/tasks/a", &headers).await });
    upstream.asked(1).await;
    server.signal("TERM");
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.error_code().as_str()), (503, "shutting_down"));
    let (code, _, stderr) = server.end();
    assert!(code == Some(0) && !stderr.contains("still under way"), "{stderr}");
}

/// A mode needs a restart; until then its tokens stay, and each reading says so anew.
#[tokio::test]
async fn what_needs_a_restart_changes_nothing_before_it() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let dir = tempfile::tempdir().unwrap();
    let (config, tokens) = (dir.path().join("settings.toml"), dir.path().join("tokens"));
    let (one, line_one) = token("one");
    std::fs::write(&tokens, &line_one).unwrap();
    std::fs::write(&config, format!("[access]\ntoken_file = {tokens:?}\n")).unwrap();
    let base_url = upstream.base_url();
    let (server, at, _) = serve(
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_CONFIG", config.to_str().unwrap()),
        ],
        &[],
    );
    std::fs::write(&config, "[access]\nmode = \"open\"\n").unwrap();
    for _ in 0..2 {
        server.signal("HUP");
        let log = server.wait_for_log("need a restart").pop().unwrap();
        assert!(log.contains("access.mode"), "{log}");
        assert_eq!(get_with(at, "/v1/tasks/a", &bearer(&one)).await.status, 200);
        assert_eq!(get(at, "/v1/tasks/a").await.status, 401);
    }
}

#[tokio::test]
async fn a_rejected_key_is_replaced_without_a_restart() {
    const NEW: &str = "sk-the-new-key-0123456789";
    let upstream = Upstream::start(|_, request| {
        if request.contains(NEW) {
            Reply::json(r#"{"status":"completed"}"#)
        } else {
            Reply::new(401, "", "{}")
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    let base_url = upstream.base_url();
    let (program, at, admin) = serve(
        &[
            ("LEMONDATA_API_KEY_FILE", key.to_str().unwrap()),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_ACCESS__MODE", "open"),
        ],
        &[],
    );
    assert_eq!(get(at, "/v1/tasks/a").await.error_code(), "upstream_key_rejected");
    assert!(get(admin, "/readyz").await.text().contains("rejected"));
    program.wait_for_log("rejected the API key");
    replace(&key, NEW);
    // Long before the half minute after which it would have been tried again.
    until(200, at, "/v1/tasks/a", "").await;
    let told = upstream.times();
    assert!(told.last().unwrap().0 - told[0].0 < Duration::from_secs(28));
    assert_eq!(get(admin, "/readyz").await.text(), "ready\n");
    program.signal("TERM");
    let (_, stdout, stderr) = program.end();
    assert!(!format!("{stdout}{stderr}").contains("sk-"), "{stderr}");
}

#[tokio::test]
async fn sighup_takes_limits_and_budget_and_names_what_needs_a_restart() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("settings.toml");
    let base_url = upstream.base_url();
    std::fs::write(&config, "[access]\nmode = \"open\"\n").unwrap();
    let (program, at, _) = serve(
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_CONFIG", config.to_str().unwrap()),
        ],
        &[],
    );
    assert_eq!(get(at, "/v1/tasks/a").await.status, 200);
    std::fs::write(
        &config,
        "[access]\nmode = \"open\"\n[limits]\nrequests_per_second = 1\n[cache]\nstale_for = \"1m\"\n",
    )
    .unwrap();
    program.signal("HUP");
    let log = program.wait_for_log("need a restart").pop().unwrap();
    assert!(log.contains("cache.stale_for") && !log.contains("limits"), "{log}");
    assert_eq!(get(at, "/v1/tasks/a").await.status, 200);
    until(429, at, "/v1/tasks/a", "").await;
    std::fs::write(&config, "[limits]\nrequests_per_second = -1\n").unwrap();
    program.signal("HUP");
    let log = program.wait_for_log("limits.requests_per_second").join("\n");
    assert!(log.contains("at fault"), "{log}");
    // The default is no limit at all.
    until(429, at, "/v1/tasks/a", "").await;
}
