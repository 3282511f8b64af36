//! Nothing a client sends reaches the upstream but a validated id (scorecard S2, invariant 6).

use crate::support::{KEY, Reply, Upstream, exchange, gateway, get, request};

/// Ids that are no ids, each as raw bytes of the request line.
fn corpus() -> Vec<Vec<u8>> {
    let mut ids: Vec<Vec<u8>> = [
        "",
        ".",
        "..",
        "...",
        ".%2e",
        "..;",
        "..=%2f..",
        "=%2e%2e",
        "%3D%2e%2e",
        "%3d/..",
        "a%253D",
        "../=",
        "./a",
        "a/..",
        "a/.",
        "../admin",
        "..%2fadmin",
        "%2e%2e",
        "%2e%2e%2fadmin",
        "a%2fb",
        "a%5cb",
        "a%00",
        "%00",
        "a;b",
        "a;jsessionid=1",
        "a%3bb",
        "a%20b",
        "a+b",
        "a:b",
        "a@b",
        "a,b",
        "a*b",
        "a'b",
        "a(b)",
        "a!b",
        "a$b",
        "a&b",
        "a~b",
        "%61",
        "%",
        "%zz",
        "a%",
        "a%2",
        "a%0d%0aX-Injected:%201",
        "a%23b",
        "a%3fb",
        "{id}",
        "%7bid%7d",
        "a|b",
        "a\\b",
        "a`b",
        "a^b",
        "a\"b",
        "a<b>",
        "%c3%a9",
        "%u0061",
        "%c0%ae%c0%ae",
        "a%09",
    ]
    .iter()
    .map(|id| id.as_bytes().to_vec())
    .collect();
    ids.push("é".as_bytes().to_vec());
    ids.push("ａ".as_bytes().to_vec());
    ids.push(b"a\xffb".to_vec());
    ids.push(b"a\tb".to_vec());
    ids.push(b"a\x00b".to_vec());
    ids.push(b"a\x7fb".to_vec());
    ids.push(vec![b'a'; 301]);
    ids.push(vec![b'a'; 8 * 1024]);
    ids.push(vec![b'a'; 600 * 1024]);
    ids
}

#[tokio::test]
async fn no_strange_id_goes_upstream() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    for route in
        ["/v1/tasks/", "/v1/images/generations/", "/v1/images/", "//v1/tasks/", "/v1//tasks/", "/v1/tasks//"]
    {
        for id in corpus() {
            let request = [
                b"GET ".as_slice(),
                route.as_bytes(),
                &id,
                b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            ]
            .concat();
            let answer = exchange(gateway.address, &request).await;
            let shown = String::from_utf8_lossy(&answer).into_owned();
            let start: String = shown.chars().take(12).collect();
            assert!(
                matches!(
                    start.as_str(),
                    "HTTP/1.1 400" | "HTTP/1.1 404" | "HTTP/1.1 414" | "HTTP/1.1 431" | ""
                ),
                "{:?}: {shown}",
                String::from_utf8_lossy(&id[..id.len().min(200)])
            );
        }
    }
    assert_eq!(upstream.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn an_id_goes_upstream_as_it_is() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    let longest = "a".repeat(300);
    let ids =
        ["video_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVyOm9wZW5haQ==", "a.json", "..a", "a..", "=", &longest];
    for id in ids {
        let path = format!("/v1/tasks/{id}");
        assert_eq!(get(gateway.address, &path).await.status, 200, "{id}");
        assert!(upstream.heard().pop().unwrap().starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{id}");
    }
    let encoded = get(gateway.address, "/v1/tasks/b%3Dc%3d").await;
    assert_eq!(encoded.status, 200);
    assert!(upstream.heard().pop().unwrap().starts_with("GET /v1/tasks/b=c= HTTP/1.1\r\n"));
    let list = ids.map(|id| format!("id={}", id.replace('=', "%3D"))).join("&");
    let list = get(gateway.address, &format!("/v1/tasks?{list}")).await;
    assert_eq!(list.text().matches(r#""task":{}"#).count(), ids.len(), "{}", list.text());
}

#[tokio::test]
async fn a_bad_id_is_named_and_a_foreign_path_too() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    for path in ["/v1/tasks/", "/v1/tasks/%2e%2e", "/v1/tasks/..", "/v1/tasks/a+b", "/v1/images/generations"]
    {
        let answer = get(gateway.address, path).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_task_id"), "{path}");
    }
    for path in ["/", "/v1/models", "/v1/tasks/a/b", "/v2/tasks/a", "/v1/chat/completions"] {
        let answer = get(gateway.address, path).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (404, "unknown_route"), "{path}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn the_upstream_gets_the_same_bytes_whatever_the_client_sends() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    let headers = "Authorization: Bearer client-secret\r\nCookie: session=1\r\nRange: bytes=0-1\r\n\
        Accept-Encoding: gzip, br\r\nAccept: text/html\r\nTE: trailers\r\nUpgrade: h2c\r\nKeep-Alive: 5\r\n\
        X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n\
        Forwarded: for=1.2.3.4\r\nVia: 1.1 evil\r\nX-Request-Id: web-1\r\nUser-Agent: browser\r\n\
        Referer: http://page.example/?secret\r\nIf-Modified-Since: Tue, 24 Nov 2026 00:00:00 GMT\r\n\
        Cache-Control: no-cache\r\nPragma: no-cache\r\nExpect: 100-continue\r\nProxy-Authorization: Basic eDp5\r\n\
        X-Api-Key: client-secret\r\n";
    let plain = get(gateway.address, "/v1/tasks/aaaa").await;
    let loaded =
        request(gateway.address, "GET", "/v1/tasks/bbbb?api_key=client-secret&wait=0&x=%2e%2e#f", headers)
            .await;
    let absolute = exchange(
        gateway.address,
        b"GET http://localhost/v1/tasks/cccc?x=client-secret HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!((plain.status, loaded.status), (200, 200));
    assert!(absolute.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&absolute));
    let heard = upstream.heard();
    assert_eq!(heard.len(), 3);
    for (request, id) in heard.iter().zip(["aaaa", "bbbb", "cccc"]) {
        let (line, headers) = request.trim_end().split_once("\r\n").unwrap();
        let mut headers: Vec<&str> = headers.split("\r\n").collect();
        headers.sort_unstable();
        assert_eq!(line, format!("GET /v1/tasks/{id} HTTP/1.1"));
        assert_eq!(
            headers,
            [
                "accept-encoding: identity".to_owned(),
                "accept: application/json".to_owned(),
                format!("authorization: Bearer {KEY}"),
                format!("host: {}", upstream.address),
                format!("user-agent: taskgate/{}", env!("CARGO_PKG_VERSION")),
            ]
        );
    }
}

#[tokio::test]
async fn what_one_client_sends_shows_in_nobodys_answer() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    let headers =
        "Cookie: poison=1\r\nOrigin: http://localhost:5173\r\nX-Request-Id: poison-2\r\nRange: bytes=0-1\r\n";
    let first = request(gateway.address, "GET", "/v1/tasks/a?poison=3", headers).await;
    assert_eq!(
        (first.status, first.text().as_str()),
        (200, r#"{"status":"completed"}"#),
        "Range is not honoured"
    );
    let second = get(gateway.address, "/v1/tasks/a").await;
    assert!(second.expect("cache-status").contains("hit"));
    assert!(!second.head.contains("poison") && !second.head.contains("5173"), "{}", second.head);
}

#[tokio::test]
async fn a_body_is_refused_and_its_bytes_are_no_second_request() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    let smuggled = "GET /v1/tasks/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for body in [
        format!("Content-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
    ] {
        let bytes = format!("GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\n{body}");
        let answer = String::from_utf8(exchange(gateway.address, bytes.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body_not_allowed"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "one answer: {answer}");
    }
    let empty = request(gateway.address, "GET", "/v1/tasks/a", "Content-Length: 0\r\n").await;
    assert_eq!(empty.status, 200, "no body at all is fine");
    // A body taken for a request would have reached the upstream before this one.
    assert_eq!(upstream.count(), 1, "{:?}", upstream.heard());
}

#[tokio::test]
async fn other_methods_are_told_what_to_do() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
        let answer = request(gateway.address, method, "/v1/tasks/a", "").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(answer.expect("allow"), "GET, HEAD, OPTIONS");
    }
    let create = request(gateway.address, "POST", "/v1/videos/generations", "").await;
    assert_eq!(create.status, 405);
    assert!(create.text().contains(&format!("at {}", upstream.base_url())), "{}", create.text());
    assert_eq!(upstream.count(), 0);
}
