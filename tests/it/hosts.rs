//! Whom a request may be meant for, on both listeners, and that no page of another origin is let read, whatever
//! becomes of its request (scorecard S4).

use crate::support::{Reply, Upstream, exchange, gateway};

/// Values of `Host` that name this gateway, whatever their port.
const OWN: &[&str] = &[
    "localhost",
    "app.localhost",
    "a.b.LOCALHOST",
    "LocalHost",
    "localhost:0",
    "localhost:65535",
    "127.0.0.1",
    "127.0.0.1:8787",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3:80",
    "[::1]",
    "[::1]:8787",
    "[::]",
    "[::FFFF:127.0.0.1]",
    "[fe80::1]",
    "gw.lan",
    "GW.LAN:1",
];

/// Names that may lead to this machine all the same.
const FOREIGN: &[&str] = &[
    "evil.example",
    "evil.example:8787",
    "localhost.evil",
    "localhost.evil:8787",
    "localhost.",
    "localhost.:8787",
    ".localhost",
    "a..localhost",
    "localhostx",
    "xlocalhost",
    "local host.evil",
    "localhost_",
    "127.0.0.1.",
    "127.0.0.1.nip.io",
    "127.0.0.1.evil",
    "0127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "[::1%25lo]",
    "[fe80::1%eth0]",
    "[v1.x]",
    "[127.0.0.1]",
    "[127.0.0.1]:8787",
    "[localhost]",
    "[gw.lan]",
    "[]",
    "gw.lan.",
    "x.gw.lan",
    "gw.lan.evil",
    "gw",
    "localtest.me",
    "lоcalhost",
    "localhost%2eevil",
    "*",
    "%6cocalhost",
];

/// Texts that are no host and port.
const BROKEN: &[&str] = &[
    "",
    " ",
    "::1",
    "::1:8787",
    "[::1",
    "::1]",
    "[::1]x",
    "localhost:",
    "localhost:x",
    "localhost:-1",
    "localhost:65536",
    "localhost:80:80",
    "user@localhost",
    "user:pw@localhost",
    "@localhost",
    "localhost@evil.example",
    "localhost/",
    "localhost/v1",
    "http://localhost",
    "localhost?x",
    "localhost#x",
    "localhost, evil.example",
    ":8787",
    "localhost\\evil",
];

async fn status(address: std::net::SocketAddr, request: &str) -> (u16, String) {
    let answer = String::from_utf8(exchange(address, request.as_bytes()).await).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, answer.to_lowercase())
}

/// As HAProxy and Nagios ask by default.
#[tokio::test]
async fn a_health_check_needs_no_host() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    let of = async |address, request: &str| status(address, request).await.0;
    for address in [gateway.address, gateway.admin] {
        assert_eq!(of(address, "GET /livez HTTP/1.0\r\n\r\n").await, 200);
        assert_eq!(of(address, "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n").await, 400);
        assert_eq!(of(address, "GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n").await, 403);
    }
    assert_eq!(of(gateway.admin, "GET /readyz HTTP/1.0\r\n\r\n").await, 200);
    assert_eq!(of(gateway.admin, "GET /metrics HTTP/1.0\r\n\r\n").await, 400);
    assert_eq!(of(gateway.address, "GET /v1/tasks/a HTTP/1.0\r\n\r\n").await, 400);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn only_requests_meant_for_this_gateway_are_answered() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[("server.allowed_hosts", "gw.lan")]).await;
    let tables = [(OWN, &[200][..]), (FOREIGN, &[400, 403]), (BROKEN, &[400])];
    let mut wrong = Vec::new();
    for (listener, address) in [("main", gateway.address), ("admin", gateway.admin)] {
        for (hosts, meant) in tables {
            for host in hosts {
                let heads = [
                    format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n"),
                    format!(
                        "GET /livez HTTP/1.1\r\nX-Forwarded-Host: localhost\r\nHost: {host}\r\nForwarded: host=localhost\r\n"
                    ),
                ];
                for head in heads {
                    let (status, answer) = status(address, &format!("{head}Connection: close\r\n\r\n")).await;
                    if !meant.contains(&status) {
                        wrong.push(format!("{listener}, {host:?}: {status}"));
                    }
                    if status == 403 {
                        assert!(answer.contains("host_not_allowed"), "{answer}");
                    }
                }
                // A rebound page is of the very origin that it asks.
                let own = format!(
                    "GET /livez HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\r\n"
                );
                let (status, answer) = status(address, &own).await;
                if meant != [200] && (status < 400 || answer.contains("access-control-allow-origin")) {
                    wrong.push(format!("{listener}, {host:?} as its own origin: {status}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_target_counts_where_it_names_a_host_and_there_is_one_host() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    for (start, headers, meant) in [
        ("GET http://localhost/livez", "Host: localhost", 200),
        ("GET http://127.0.0.1:8787/livez", "Host: evil.example", 200),
        ("GET http://[::1]/livez", "Host: evil.example", 200),
        ("GET http://evil.example/livez", "Host: localhost", 403),
        ("GET https://evil.example/livez", "Host: localhost", 403),
        ("GET HTTP://EVIL.example/livez", "Host: localhost", 403),
        ("GET http://user@localhost/livez", "Host: localhost", 400),
        ("GET http://localhost/livez", "X: y", 400),
        ("GET http://localhost/livez", "Host: localhost\r\nHost: localhost", 400),
        ("GET http:///livez", "Host: localhost", 400),
        ("GET /livez", "X: y", 400),
        ("GET /livez", "Host: localhost\r\nHost: localhost", 400),
        ("GET /livez", "Host: localhost\r\nHost: evil.example", 400),
        ("GET /livez", "Host: evil.example\r\nHost: localhost", 400),
        ("GET /livez", "Host: evil.example\r\nHOST: localhost", 400),
    ] {
        for address in [gateway.address, gateway.admin] {
            let (status, answer) =
                status(address, &format!("{start} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(status, meant, "{start} {headers}: {answer}");
        }
    }
}

#[tokio::test]
async fn no_answer_reflects_a_foreign_origin() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("/fails ") {
            Reply::new(500, "", "{}")
        } else {
            Reply::json(r#"{"status":"completed"}"#)
        }
    })
    .await;
    let gateway = gateway(&upstream, &[("server.allowed_origins", "https://app.example.com")]).await;
    let origins = [
        "https://evil.example",
        "null",
        "http://localhost.evil",
        "http://localhost.",
        "http://127.0.0.1.evil",
        "https://app.example.com.evil",
        "https://app.example.com:8443",
        "https://app.example.com/",
        "https://app.example.com https://evil.example",
        "http://evil.example@localhost",
        "localhost",
        "ftp://localhost",
        "*",
        "",
    ];
    let preflight = "Access-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: x-evil\r\n";
    for origin in origins {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            for path in
                ["/v1/tasks/a", "/v1/tasks/fails", "/v1/tasks/b.b", "/v1/tasks", "/nowhere", "/livez", "/"]
            {
                for more in ["Accept: text/event-stream\r\n", preflight] {
                    for address in [gateway.address, gateway.admin] {
                        let request = format!(
                            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{more}Connection: close\r\n\r\n"
                        );
                        let (status, answer) = status(address, &request).await;
                        assert!(!answer.contains("access-control-allow-origin"), "{request}{answer}");
                        assert!(!answer.contains("access-control-allow-credentials"), "{request}{answer}");
                        assert!(address == gateway.admin || status == 403, "{request}{answer}");
                    }
                }
            }
        }
    }
    assert_eq!(upstream.count(), 0);
}
