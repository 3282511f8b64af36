//! The API key occurs nowhere but in the upstream request (scorecard S1, invariant 7).

use crate::support::{End, KEY, Reply, Upstream, exchange, get, program, request, serve};

/// It logs everything it can.
const TALKATIVE: &[(&str, &str)] = &[
    ("TASKGATE_UPSTREAM__TIMEOUT", "500ms"),
    ("TASKGATE_UPSTREAM__CONNECT_TIMEOUT", "500ms"),
    ("TASKGATE_LOG__FILTER", "trace"),
    ("TASKGATE_LOG__ACCESS", "true"),
    ("TASKGATE_POLLING__FRESH_FOR", "10ms"),
    ("TASKGATE_POLLING__MAX_INTERVAL", "10ms"),
    ("TASKGATE_POLLING__PATIENCE", "2s"),
    ("RUST_BACKTRACE", "full"),
];

/// Everything an upstream can do with the key it was sent.
fn echoes() -> Vec<Reply> {
    let body =
        |status: &str| format!(r#"{{"status":"{status}","key":"{KEY}","error":"Bearer {KEY} {KEY}{KEY}"}}"#);
    vec![
        Reply::json(&body("processing")),
        Reply::json(&body("completed")),
        Reply::new(200, &format!("X-Echo: {KEY}\r\n"), &body("failed")),
        Reply::raw(
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/{KEY}\r\nContent-Length: 2\r\n\r\n{{}}"),
            End::KeepAlive,
        ),
        Reply::raw(format!("HTTP/1.1 200 {KEY}\r\nContent-Length: 2\r\n\r\n{{}}"), End::KeepAlive),
        Reply::new(404, "", &body("gone")),
        Reply::new(403, "", &format!(r#"{{"error":{{"message":"{KEY} may not"}}}}"#)),
        Reply::new(500, "", &body("x")),
        Reply::new(302, &format!("Location: http://127.0.0.1:9/{KEY}\r\n"), "{}"),
        Reply::json(&format!("not JSON {KEY}")),
        Reply::raw(format!("{KEY} is no HTTP\r\n\r\n"), End::Close),
        Reply::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{KEY}"), End::Reset),
        Reply::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{KEY}"), End::Hang),
        Reply::new(401, "", &format!(r#"{{"error":{{"message":"Incorrect API key: {KEY}"}}}}"#)),
    ]
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    for (number, reply) in echoes().into_iter().enumerate() {
        let upstream = Upstream::always(reply).await;
        let (program, address, _) = serve(&upstream.base_url(), TALKATIVE);
        let mut shown = Vec::new();
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            for path in ["/v1/tasks/a", "/v1/images/a", "/nowhere", "/livez"] {
                let answer = request(address, method, path, "Authorization: Bearer other\r\n").await;
                shown.push(format!("{}{}", answer.head, answer.text()));
            }
        }
        shown.push(String::from_utf8_lossy(&exchange(address, b"GARBAGE\r\n\r\n").await).into_owned());
        // The environment of a process is its own affair; its arguments are everybody's.
        let arguments = std::fs::read(format!("/proc/{}/cmdline", program.id())).unwrap();
        shown.push(String::from_utf8_lossy(&arguments).into_owned());
        assert!(upstream.heard().iter().any(|request| request.contains(KEY)), "the upstream itself gets it");
        program.signal("TERM");
        let (code, stdout, stderr) = program.end();
        assert_eq!(code, Some(0));
        assert!(stderr.contains("TRACE"), "the logs are as loud as they get");
        shown.extend([stdout, stderr]);
        for text in &shown {
            assert!(!text.contains(KEY), "case {number}: {text}");
            assert!(!text.contains(&KEY[3..]), "case {number}, without its prefix: {text}");
        }
    }
}

#[tokio::test]
async fn an_echoed_key_is_covered_and_the_rest_is_untouched() {
    let upstream = Upstream::always(Reply::json(&format!(r#"{{"status":"completed","k":"{KEY}!"}}"#))).await;
    let gateway = crate::support::gateway(&upstream, &[]).await;
    let answer = get(gateway.address, "/v1/tasks/a").await;
    assert_eq!(answer.text(), r#"{"status":"completed","k":"***!"}"#);
}

#[tokio::test]
async fn proxy_variables_do_not_lead_the_key_astray() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let thief = Upstream::always(Reply::json("{}")).await;
    let (base_url, proxy) = (upstream.base_url(), thief.base_url());
    let program = program(
        &[],
        &[
            ("LEMONDATA_API_KEY", KEY),
            ("TASKGATE_ACCESS__MODE", "open"),
            ("TASKGATE_UPSTREAM__BASE_URL", &base_url),
            ("TASKGATE_SERVER__LISTEN", "127.0.0.1:0"),
            ("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0"),
            ("HTTP_PROXY", &proxy),
            ("http_proxy", &proxy),
            ("ALL_PROXY", &proxy),
            ("all_proxy", &proxy),
        ],
        &[],
    );
    let (address, _) = program.addresses();
    assert_eq!(get(address, "/v1/tasks/a").await.status, 200);
    assert_eq!((upstream.count(), thief.count()), (1, 0));
}
