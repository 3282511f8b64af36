//! The client gets the bytes that the upstream sent, for every medium and state.

use taskgate::sandbox::{Course, Medium, Options, Pin, Plan};

use crate::support::{End, KEY, Reply, Upstream, gateway, gateway_at, get, get_with, request, sandbox};

#[tokio::test]
async fn every_medium_and_state_comes_through_unchanged() {
    let (sandbox, upstream, _life) =
        sandbox(Options { latency: std::time::Duration::ZERO, ..Options::default() }).await;
    let gateway = gateway_at(&format!("http://{upstream}"), &[]).await;
    let auth = format!("Authorization: Bearer {KEY}\r\n");
    let mut compared = 0;
    for medium in Medium::ALL {
        for pin in [
            Pin::Pending,
            Pin::Processing(0),
            Pin::Processing(40),
            Pin::Processing(100),
            Pin::Completed,
            Pin::Failed,
            Pin::Cancelled,
            Pin::Expired,
        ] {
            let id = sandbox.create(medium, Plan { course: Course::Pinned(pin), ..Plan::default() });
            for path in [format!("/v1/tasks/{id}"), format!("{}/{id}", medium.create_path())] {
                let direct = get_with(upstream, &path, &auth).await;
                let mirrored = get(gateway.address, &path).await;
                assert_eq!(mirrored.status, direct.status, "{path} {pin:?}");
                assert_eq!(mirrored.text(), direct.text(), "{path} {pin:?}");
                assert_eq!(mirrored.expect("content-type"), direct.expect("content-type"));
                assert_eq!(direct.status, if pin == Pin::Expired { 404 } else { 200 });
                compared += 1;
            }
        }
    }
    let id =
        sandbox.create(Medium::Image, Plan { course: Course::Pinned(Pin::Completed), ..Plan::default() });
    let alias = get(gateway.address, &format!("/v1/images/{id}")).await;
    let canonical = get(gateway.address, &format!("/v1/images/generations/{id}")).await;
    assert_eq!((alias.status, alias.body), (200, canonical.body));
    assert_eq!(compared, 4 * 8 * 2);
}

#[tokio::test]
async fn odd_json_survives_byte_for_byte() {
    let bodies = [
        r#"{"status":"completed"}"#,
        " {\n\t\"status\" : \"processing\" ,\r\n \"unknown\":[{}, [ ]]} \n",
        r#"{"status":"x","big":123456789012345678901234567890.000000000000000000001,"huge":1e999,"neg":-0.0}"#,
        "{\"status\":\"completed\",\"title\":\"雨の中のレモン🍋\",\"rtl\":\"\u{202e}abc\",\"nul\":\"\\u0000\"}",
        r#"{"status":"completed","prompt":"cut in half \ud83d","dup":1,"dup":2}"#,
        r#"{"status":"completed","slash":"\/","url":"https:\/\/x.example\/a?b=c&d"}"#,
    ];
    let upstream = Upstream::start(move |_, request| {
        let number: usize = request.split(['/', ' ']).nth(4).unwrap().parse().unwrap();
        Reply::json(bodies[number])
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    for (number, body) in bodies.iter().enumerate() {
        let answer = get(gateway.address, &format!("/v1/tasks/{number}")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, *body));
    }
}

#[tokio::test]
async fn chunked_and_unsized_bodies_come_through_whole() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"status\r\n6\r\n\":\"x\"}\r\n0\r\n\r\n";
    let unsized_ = "HTTP/1.1 201 Created\r\nContent-Type: text/json; x=y\r\n\r\n{\"status\":\"y\"}";
    let upstream = Upstream::start(move |_, request| {
        if request.contains("/chunked") {
            Reply::raw(chunked, End::KeepAlive)
        } else {
            Reply::raw(unsized_, End::Close)
        }
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    let answer = get(gateway.address, "/v1/tasks/chunked").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"status":"x"}"#));
    assert_eq!(answer.expect("content-type"), "application/json", "where upstream names none");
    let answer = get(gateway.address, "/v1/tasks/unsized").await;
    assert_eq!((answer.status, answer.text().as_str()), (201, r#"{"status":"y"}"#));
    assert_eq!(answer.expect("content-type"), "text/json; x=y");
}

#[tokio::test]
async fn head_has_the_headers_alone() {
    let body = r#"{"status":"completed"}"#;
    let upstream = Upstream::always(Reply::json(body)).await;
    let gateway = gateway(&upstream, &[]).await;
    for path in ["/v1/tasks/a", "/v1/tasks/b"] {
        let get = get(gateway.address, path).await;
        let head = request(gateway.address, "HEAD", path, "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-type", "content-length", "etag", "cache-control", "vary"] {
            assert_eq!(head.expect(name), get.expect(name), "{name}");
        }
        assert_eq!(head.expect("content-length"), body.len().to_string());
    }
    assert_eq!(upstream.count(), 2, "HEAD and GET look at the same picture");
    let head = request(gateway.address, "HEAD", "/v1/tasks/c", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0), "a HEAD that has to ask");
    assert!(upstream.heard().iter().all(|request| request.starts_with("GET ")));
    let head = request(gateway.address, "HEAD", "/nowhere", "").await;
    assert_eq!((head.status, head.body.len()), (404, 0));
}

#[tokio::test]
async fn no_header_of_the_upstream_comes_through_but_the_content_type() {
    let headers = "Set-Cookie: session=1\r\nServer: secret-stack\r\nX-RateLimit-Remaining: 5\r\nETag: \"theirs\"\r\n\
        Cache-Control: public\r\nAge: 99\r\nRetry-After: 77\r\nAccess-Control-Allow-Origin: *\r\n\
        Access-Control-Allow-Credentials: true\r\nX-Request-Id: theirs\r\nLocation: http://evil.example\r\n";
    let upstream = Upstream::always(Reply::new(200, headers, r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    let answer = get(gateway.address, "/v1/tasks/a").await;
    let mut names: Vec<String> =
        answer.head.lines().skip(1).map(|line| line.split(':').next().unwrap().to_lowercase()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "age",
            "cache-control",
            "cache-status",
            "connection",
            "content-length",
            "content-type",
            "date",
            "etag",
            "referrer-policy",
            "vary",
            "x-content-type-options",
            "x-request-id",
        ]
    );
    assert_ne!(answer.expect("etag"), "\"theirs\"");
    assert_eq!(answer.expect("age"), "0");
}
