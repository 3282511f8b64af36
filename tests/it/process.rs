//! The program as its users run it: commands, exit codes, signals.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{End, KEY, Reply, Upstream, get, get_with, program, request, serve};

fn after<'l>(lines: &'l [String], mark: &str) -> &'l str {
    let line =
        lines.iter().find(|line| line.contains(mark)).unwrap_or_else(|| panic!("no {mark} in {lines:?}"));
    line.split(mark).nth(1).unwrap().split([' ', '/']).next().unwrap()
}

/// The rest of the line after a mark.
fn after_line<'l>(lines: &'l [String], mark: &str) -> &'l str {
    lines.iter().find_map(|line| line.split_once(mark)).unwrap_or_else(|| panic!("no {mark} in {lines:?}")).1
}

#[test]
fn without_a_key_it_says_which_variable_to_set() {
    let (code, _, stderr) = program(&["serve"], &[("TASKGATE_ACCESS__MODE", "open")], &[]).end();
    assert_eq!(code, Some(78));
    assert!(stderr.contains("LEMONDATA_API_KEY"), "{stderr}");
    assert!(stderr.contains("taskgate demo"), "{stderr}");
}

#[test]
fn all_faults_are_told_at_once() {
    let file =
        "[server]\nlisten = \"localhost:8787\"\n[polling]\npatience = 5\n[upstrem]\ntimeout = \"1s\"\n";
    let (code, stdout, stderr) =
        program(&["check"], &[("TASKGATE_BUDGET__SHARE", "1.5")], &[("config.toml", file)]).end();
    assert_eq!((code, stdout.as_str()), (Some(78), ""));
    for key in
        ["server.listen", "polling.patience", "upstrem", "budget.share", "LEMONDATA_API_KEY", "access.mode"]
    {
        assert!(stderr.contains(key), "{key} in {stderr}");
    }
}

#[test]
fn protected_mode_is_refused_until_there_are_tokens() {
    let (code, _, stderr) = program(&["serve"], &[("LEMONDATA_API_KEY", KEY)], &[]).end();
    assert_eq!(code, Some(78));
    assert!(stderr.contains("access.mode = \"open\""), "{stderr}");
    assert!(!stderr.contains(KEY));
}

#[test]
fn check_prints_settings_that_can_be_used_and_no_secret() {
    let env = [("LEMONDATA_API_KEY", KEY), ("TASKGATE_ACCESS__MODE", "open")];
    let (code, stdout, stderr) = program(&["check"], &env, &[]).end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("[server]") && stdout.contains("patience = \"5s\""), "{stdout}");
    assert!(!stdout.contains(KEY));
    let (code, again, stderr) = program(&["--config", "x.toml", "check"], &env, &[("x.toml", &stdout)]).end();
    assert_eq!((code, again, stderr.as_str()), (Some(0), stdout, ""));
}

#[test]
fn wrong_usage_is_exit_2() {
    for arguments in
        [&["nonsense"][..], &["--nonsense"], &["sandbox", "--failure-rate", "7"], &["demo", "--listen", "x"]]
    {
        let (code, _, stderr) = program(arguments, &[], &[]).end();
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
    }
    let (code, stdout, _) = program(&["--help"], &[], &[]).end();
    assert_eq!(code, Some(0));
    for command in ["serve", "check", "healthcheck", "ticket", "token", "sandbox", "demo"] {
        assert!(stdout.contains(command), "{stdout}");
    }
}

#[tokio::test]
async fn a_taken_port_is_exit_1_and_names_the_setting() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let env = [
        ("LEMONDATA_API_KEY", KEY),
        ("TASKGATE_ACCESS__MODE", "open"),
        ("TASKGATE_SERVER__LISTEN", address.as_str()),
    ];
    let (code, _, stderr) = program(&["serve"], &env, &[]).end();
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&address) && stderr.contains("server.listen"), "{stderr}");
}

#[tokio::test]
async fn healthcheck_is_0_when_ready_and_1_otherwise() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let (server, main, admin) = serve(&upstream.base_url(), &[]);
    let check = |main: SocketAddr, admin: &str| {
        let main = main.to_string();
        let env = [
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_ACCESS__MODE", "open"),
            ("TASKGATE_SERVER__LISTEN", main.as_str()),
            ("TASKGATE_ADMIN__LISTEN", admin),
        ];
        program(&["healthcheck"], &env, &[]).end()
    };
    assert_eq!(check(main, &admin.to_string()), (Some(0), String::new(), String::new()));
    assert_eq!(check(main, "off").0, Some(0), "without an admin listener the main one is asked");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let (code, _, stderr) = check(main, &admin.to_string());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is the gateway running?"), "{stderr}");
}

#[tokio::test]
async fn sigterm_lets_requests_finish_and_sigint_ends_it_too() {
    for signal in ["TERM", "INT"] {
        let (reply, hold) = Reply::json(r#"{"status":"completed"}"#).held();
        let upstream = Upstream::always(reply).await;
        let (server, main, _) = serve(&upstream.base_url(), &[]);
        let request = tokio::spawn(async move { get(main, "/v1/tasks/a").await });
        upstream.asked(1).await;
        server.signal(signal);
        server.wait_for_log("stopping");
        drop(hold);
        let answer = request.await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"status":"completed"}"#));
        let (code, _, stderr) = server.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("stopped"), "{stderr}");
    }
}

#[tokio::test]
async fn a_drain_answers_who_waits_for_a_hung_upstream() {
    let upstream = Upstream::always(Reply::raw("", End::Hang)).await;
    let (server, main, _) = serve(&upstream.base_url(), &[("TASKGATE_SERVER__SHUTDOWN_GRACE", "6s")]);
    let requests = ["/v1/tasks/a", "/v1/tasks/b?wait=30", "/v1/tasks?id=c"]
        .map(|path| tokio::spawn(async move { get(main, path).await }));
    upstream.asked(3).await;
    server.signal("TERM");
    let [plain, waiting, list] = requests;
    for answer in [plain.await.unwrap(), waiting.await.unwrap()] {
        assert_eq!((answer.status, answer.error_code().as_str()), (503, "shutting_down"));
        assert!(answer.header("retry-after").is_some());
    }
    let list = list.await.unwrap();
    assert!(list.status == 200 && list.text().contains("shutting_down"), "{}", list.text());
    let (code, _, stderr) = server.end();
    assert_eq!(code, Some(0));
    assert!(!stderr.contains("still under way"), "{stderr}");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_what_nobody_wants() {
    let upstream = Upstream::always(Reply::raw("", End::Hang)).await;
    // Far longer than the test waits for the program's end.
    let long = [("TASKGATE_SERVER__SHUTDOWN_GRACE", "10m"), ("TASKGATE_UPSTREAM__TIMEOUT", "10m")];
    let (server, main, _) = serve(&upstream.base_url(), &long);
    let mut client = TcpStream::connect(main).await.unwrap();
    client.write_all(b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    upstream.asked(1).await;
    // A reset: a client that only ends its side may still want its answer.
    client.set_zero_linger().unwrap();
    drop(client);
    server.signal("TERM");
    let (code, _, stderr) = server.end();
    assert_eq!(code, Some(0));
    assert!(!stderr.contains("please report"), "{stderr}");
}

#[tokio::test]
async fn the_demo_runs_the_main_job_and_its_lines_work() {
    let any = "127.0.0.1:0";
    let demo = program(&["demo", "--listen", any, "--admin", any, "--sandbox", any], &[], &[]);
    let said = demo.wait_for("Ctrl-C");
    let lines: Vec<&String> = said.iter().filter(|line| line.contains("/v1/tasks/")).collect();
    assert_eq!(lines.len(), 5, "{said:?}");
    for line in lines {
        let url = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
        let (address, path) = url.split_once('/').unwrap();
        let answer = get(address.parse().unwrap(), &format!("/{path}")).await;
        assert_eq!(answer.status, 200, "{line}");
        assert!(answer.text().contains("\"status\":\""), "{}", answer.text());
        if line.contains("done: served") {
            assert!(answer.text().contains("\"status\":\"completed\""));
        }
    }
    let page = after_line(&said, "  http://");
    let (site, query) = page.split_once("/?gateway=http://").unwrap();
    let html = get(site.parse().unwrap(), &format!("/?gateway=http://{query}")).await;
    assert_eq!((html.status, html.expect("content-type").as_str()), (200, "text/html; charset=utf-8"));
    assert_eq!(html.text(), include_str!("../../examples/browser/index.html"));
    let dashboard = said.iter().rev().find_map(|line| line.strip_prefix("  http://")).unwrap();
    let html = get(dashboard.trim_end_matches('/').parse().unwrap(), "/").await;
    assert!(html.status == 200 && html.text().contains("<title>taskgate</title>"), "{dashboard}");
    // The request that the page then makes, with its origin.
    let (gateway, ids) = query.split_once('&').unwrap();
    let origin = format!("Origin: http://{site}\r\n");
    let list = get_with(gateway.parse().unwrap(), &format!("/v1/tasks?{ids}"), &origin).await;
    assert_eq!((list.status, list.text().matches("\"code\":200").count()), (200, 5), "{}", list.text());
    assert_eq!(list.expect("access-control-allow-origin"), format!("http://{site}"));
    demo.signal("INT");
    assert_eq!(demo.end().0, Some(0));
}

#[tokio::test]
async fn the_sandbox_speaks_to_a_plain_client() {
    let sandbox = program(&["sandbox", "--listen", "127.0.0.1:0", "--latency", "0s"], &[], &[]);
    let said = sandbox.wait_for("taskgate serve");
    let address: SocketAddr = after(&said, "http://").parse().unwrap();
    let auth = "Authorization: Bearer sk-sandbox\r\n";
    let denied = get(address, "/v1/tasks/x").await;
    assert_eq!(denied.status, 401);
    let unknown = get_with(address, "/v1/tasks/x", auth).await;
    assert_eq!(unknown.status, 404);
    let empty = request(address, "POST", "/v1/videos/generations", auth).await;
    assert_eq!(empty.status, 400);
    sandbox.signal("TERM");
    assert_eq!(sandbox.end().0, Some(0));
}
