//! The rules for browsers: CORS, the Host rule against DNS rebinding, the Origin rule; and the module that
//! pages import.

use crate::support::{Reply, Upstream, exchange, gateway, get, get_with, request};

#[tokio::test]
async fn a_page_of_a_dev_server_on_another_port_may_read() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    for origin in
        ["http://localhost:5173", "https://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:5173"]
    {
        let preflight = request(
            gateway.address,
            "OPTIONS",
            "/v1/tasks/a",
            &format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization,if-none-match\r\n"),
        )
        .await;
        assert_eq!(preflight.status, 200, "{origin}");
        assert_eq!(preflight.expect("access-control-allow-origin"), origin);
        assert_eq!(preflight.expect("access-control-allow-methods"), "GET,HEAD,DELETE");
        assert_eq!(
            preflight.expect("access-control-allow-headers"),
            "authorization,prefer,if-none-match,if-modified-since,if-range,range,last-event-id,cache-control,x-request-id,traceparent,tracestate,\
             baggage,sentry-trace"
        );
        assert_eq!(preflight.expect("access-control-max-age"), "7200");
        for path in ["/v1/tasks/a", "/v1/tasks/b+b", "/nowhere"] {
            let answer = get_with(gateway.address, path, &format!("Origin: {origin}\r\n")).await;
            assert_eq!(
                answer.expect("access-control-allow-origin"),
                origin,
                "errors can be read too: {path}"
            );
            assert_eq!(
                answer.expect("access-control-expose-headers"),
                "etag,age,retry-after,cache-status,preference-applied,taskgate-estimate,x-request-id,accept-ranges,content-disposition,\
                 content-range"
            );
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            assert_eq!(answer.expect("vary"), "accept, prefer, origin");
        }
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn foreign_pages_get_nothing() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[("server.allowed_origins", "https://app.example.com")]).await;
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "https://app.example.com.evil.example",
        "https://app.example.com:444",
        "http://app.example.com",
        "file://",
        "chrome-extension://abc",
        "http://localhost:5173, https://evil.example",
        "",
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let headers = format!("Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n");
            let answer = request(gateway.address, method, "/v1/tasks/a", &headers).await;
            assert_eq!(answer.status, 403, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{method} {origin}");
            if method == "GET" {
                assert_eq!(answer.error_code(), "origin_not_allowed");
            }
        }
    }
    let twice = "Origin: https://app.example.com\r\nOrigin: https://evil.example\r\n";
    assert_eq!(get_with(gateway.address, "/v1/tasks/a", twice).await.status, 403);
    assert_eq!(upstream.count(), 0, "judged before anything is asked");
    let listed = get_with(gateway.address, "/v1/tasks/a", "Origin: https://app.example.com\r\n").await;
    assert_eq!(listed.expect("access-control-allow-origin"), "https://app.example.com");
}

#[tokio::test]
async fn only_its_own_names_reach_the_gateway() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[("server.allowed_hosts", "taskgate,gw.lan")]).await;
    for listener in [gateway.address, gateway.admin] {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]:8787",
            "10.1.2.3",
            "taskgate:8787",
            "GW.lan",
        ] {
            let answer = get_with(listener, "/livez", &format!("Host: {host}\r\n")).await;
            assert_eq!(answer.status, 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost.",
            "taskgate.evil",
            "x.gw.lan",
        ] {
            let answer = get_with(listener, "/livez", &format!("Host: {host}\r\n")).await;
            assert_eq!((answer.status, answer.error_code().as_str()), (403, "host_not_allowed"), "{host}");
        }
        for host in ["", "a b", "user@localhost", "http://localhost", "localhost:port"] {
            let answer = get_with(listener, "/livez", &format!("Host: {host}\r\n")).await;
            assert_eq!(answer.status, 400, "{host:?}");
        }
    }
    let raw = async |head: &str| String::from_utf8(exchange(gateway.address, head.as_bytes()).await).unwrap();
    let none = raw("GET /v1/tasks/a HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(none.starts_with("HTTP/1.1 400"), "{none}");
    let two =
        raw("GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            .await;
    assert!(two.starts_with("HTTP/1.1 400"), "{two}");
    let absolute =
        raw("GET http://evil.example/v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
    assert!(absolute.starts_with("HTTP/1.1 403"), "the target counts, not Host: {absolute}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_star_accepts_any_name() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[("server.allowed_hosts", "*")]).await;
    let answer = get_with(gateway.address, "/v1/tasks/a", "Host: whatever.example\r\n").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_module_for_pages_is_served_to_every_client() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[("server.allowed_origins", "https://app.example.com")]).await;
    let answer = get(gateway.address, "/taskgate.js").await;
    assert_eq!(answer.text(), include_str!("../../clients/js/taskgate.js"));
    assert_eq!(answer.expect("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(answer.expect("cache-control"), "no-cache");
    let tag = answer.expect("etag");
    let again = get_with(gateway.address, "/taskgate.js", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let origin = "Origin: https://app.example.com\r\n";
    let page = get_with(gateway.address, "/taskgate.js", origin).await;
    assert_eq!(page.expect("access-control-allow-origin"), "https://app.example.com");
    let other = get_with(gateway.address, "/taskgate.js", "Origin: https://evil.example\r\n").await;
    assert_eq!((other.status, other.error_code().as_str()), (403, "origin_not_allowed"));
    let rebound = b"GET /taskgate.js HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let rebound = exchange(gateway.address, rebound).await;
    assert!(rebound.starts_with(b"HTTP/1.1 403"), "{}", String::from_utf8_lossy(&rebound));
    let posted = request(gateway.address, "POST", "/taskgate.js", "").await;
    assert_eq!(posted.status, 405);
    assert_eq!(upstream.count(), 0);
}
