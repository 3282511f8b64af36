//! An upstream whose answers cannot be used is told to operators, with the setting to change: by `/readyz`, the
//! dashboard, the metrics and the log.

use crate::support::{
    ClosedPort, EAGER, End, Gateway, KEY, Reply, Upstream, gateway, gateway_at, get, serve, until,
};

const LIVE: &str = r#"{"status":"processing"}"#;

async fn ready(gateway: &Gateway) -> String {
    let ready = get(gateway.admin, "/readyz").await;
    assert_eq!(ready.status, 200);
    ready.text()
}

/// An answer with these header lines.
fn reply(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::raw(
        format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {length}\r\n\r\n{body}"),
        End::KeepAlive,
    )
}

#[tokio::test]
async fn the_first_answer_after_a_start_is_enough() {
    let page = "<!doctype html><title>Sign in</title>";
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let gzip = "Content-Encoding: gzip\r\n";
    let elsewhere = "Location: https://www.example.com/v1/tasks/a?k=1\r\n";
    for (reply, cure) in [
        (reply(200, html, page), "write that of the API"),
        (reply(403, html, page), "check the account"),
        (reply(403, "", "error code: 1020"), "check the account"),
        (reply(200, "", page), "write that of the API"),
        (reply(301, elsewhere, ""), r#"write upstream.base_url = "https://www.example.com""#),
        (reply(302, "Location: /login\r\n", ""), "/login, which is not followed; check upstream.base_url"),
        (reply(404, "Content-Type: text/plain\r\n", "404 page not found"), "check upstream.routes"),
        (reply(404, html, page), "check upstream.routes"),
        (reply(200, gzip, "\u{1f}b"), "(gzip) although nothing was asked for"),
        (reply(200, "", "ok"), "is not complete JSON; check upstream.base_url"),
        (reply(304, "", ""), "answers 304, which answers no plain request"),
        (Reply::json("[]"), "no state of a task; check"),
        (Reply::json(r#"{"error":"no"}"#), "upstream.status_pointer"),
        (Reply::json(&format!("\"{}\"", "x".repeat(70_000))), "raise upstream.max_body"),
        (Reply::new(403, "", r#"{"detail":"User is locked"}"#), "check the account"),
        (Reply::raw("SSH-2.0-OpenSSH\r\n", End::Close), "if it speaks TLS, write https://"),
    ] {
        let upstream = Upstream::always(reply.clone()).await;
        let gateway = gateway(&upstream, &[EAGER, &[("upstream.max_body", "64KiB")]].concat()).await;
        assert_eq!(ready(&gateway).await, "ready\n");
        get(gateway.address, "/v1/tasks/a").await;
        let told = ready(&gateway).await;
        assert!(told.starts_with("degraded: ") && told.contains(cure), "{told}");
        assert_eq!((told.lines().count(), told.contains("k=1")), (1, false), "{told}");
        assert!(get(gateway.admin, "/metrics").await.text().contains("\ntaskgate_upstream_usable 0\n"));
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_at_the_start_is_told_with_the_cause() {
    let nobody = ClosedPort::new();
    let gateway = gateway_at(&nobody.base_url(), EAGER).await;
    get(gateway.address, "/v1/tasks/a").await;
    let told = ready(&gateway).await;
    assert!(told.contains("Connection refused") && told.contains("check upstream.base_url"), "{told}");
}

#[tokio::test]
async fn later_three_tasks_in_a_row_are_enough_and_one_usable_answer_ends_it() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("/locked-") {
            Reply::new(403, "", r#"{"detail":"User is locked"}"#)
        } else if request.contains("/lost ") {
            Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#)
        } else {
            Reply::json(LIVE)
        }
    })
    .await;
    let gateway = gateway(&upstream, EAGER).await;
    let ask = async |ids: &[&str]| {
        for id in ids {
            get(gateway.address, &format!("/v1/tasks/{id}")).await;
        }
    };
    ask(&["a", "locked-1", "locked-2", "locked-1"]).await;
    assert_eq!(ready(&gateway).await, "ready\n", "two tasks");
    ask(&["b", "locked-3", "locked-4"]).await;
    assert_eq!(ready(&gateway).await, "ready\n", "with a success between");
    ask(&["locked-5"]).await;
    let told = ready(&gateway).await;
    assert!(told.starts_with("degraded: the upstream forbids the request (403)"), "{told}");
    // An API that tells in JSON that a task is missing is the right one.
    ask(&["lost"]).await;
    assert_eq!(ready(&gateway).await, "ready\n");
}

#[tokio::test]
async fn any_answer_of_the_api_ends_the_doubt() {
    let closed = ClosedPort::new();
    let gateway = gateway_at(&closed.base_url(), EAGER).await;
    get(gateway.address, "/v1/tasks/a").await;
    assert!(ready(&gateway).await.contains("there is no answer"));
    // Nobody else may take the port in between.
    let upstream = Upstream::at(closed, |_, request| {
        if request.contains("/down") {
            Reply::new(500, "", "{}")
        } else {
            Reply::new(422, "", r#"{"error":"no"}"#)
        }
    });
    let back = async |id: &str| get(gateway.address, &format!("/v1/tasks/{id}")).await.status;
    assert_eq!(back("down").await, 502);
    assert_eq!(ready(&gateway).await, "ready\n", "it answers, though with an error");
    assert_eq!(back("b").await, 422);
    assert_eq!(ready(&gateway).await, "ready\n");
    drop(upstream);
}

#[tokio::test]
async fn the_key_is_not_told_in_any_disguise() {
    let disguises = [
        format!("Content-Encoding: {KEY}\r\n"),
        format!("Location: https://x.example/{KEY}/y\r\n"),
        format!("Location: https://x.example/{}\t{}/y\r\n", &KEY[..8], &KEY[8..]),
        format!("Location: https://{KEY}.example/v1/tasks/a\r\n"),
        format!("Location: https://x.example/{}/y\r\n", KEY.replace('-', "%2D")),
    ];
    let plain = KEY.to_lowercase();
    for disguise in disguises {
        let status = if disguise.starts_with("Location") { 302 } else { 200 };
        let upstream = Upstream::always(reply(status, &disguise, "{}")).await;
        let gateway = gateway(&upstream, EAGER).await;
        get(gateway.address, "/v1/tasks/a").await;
        let told = ready(&gateway).await;
        assert!(told.starts_with("degraded: "), "{told}");
        let undone = told.to_lowercase().replace("%2d", "-");
        assert!(!undone.contains(&plain), "{disguise}: {told}");
    }
}

#[tokio::test]
async fn a_pointer_that_finds_no_status_is_told_after_three_tasks() {
    let upstream = Upstream::always(Reply::json(r#"{"data":{"status":"completed"}}"#)).await;
    let gateway = gateway(&upstream, EAGER).await;
    for (id, is_told) in [("a", false), ("b", false), ("a", false), ("c", true)] {
        get(gateway.address, &format!("/v1/tasks/{id}")).await;
        assert_eq!(ready(&gateway).await.contains("check upstream.status_pointer"), is_told, "{id}");
    }
}

#[tokio::test]
async fn the_log_tells_the_cure_once_and_when_it_is_over() {
    let upstream = Upstream::start(|number, _| {
        if number < 6 {
            reply(301, "Location: https://api.example.com/v1/tasks/x\r\n", "")
        } else {
            Reply::json(LIVE)
        }
    })
    .await;
    let (program, at, _) = serve(&upstream.base_url(), &[]);
    let mut number = 0;
    until("the upstream answers", async || {
        number += 1;
        (get(at, &format!("/v1/tasks/t{number}")).await.status == 200).then_some(())
    })
    .await;
    let lines = program.wait_for_log("can be used again");
    let told: Vec<_> = lines.iter().filter(|line| line.contains("redirects (301)")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("WARN") && told[0].contains("check upstream.base_url"), "{told:?}");
}
