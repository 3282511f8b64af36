//! Contents: the bytes of results pass with the key, and nothing else passes.

use taskgate::core::sha256;
use taskgate::core::task::{Route, Routes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::access::ticket;
use crate::clients::parts::program_path;
use crate::support::{
    Answer, End, Gateway, KEY, QUICK, Reply, Upstream, exchange, gateway_of, get, get_with, request,
    settings, until, until_metric,
};

const PATH: &str = "/v1/videos/a/content";
const FILM: &str = "Content-Type: video/mp4\r\n";

/// A gateway with contents at `/v1/videos/{id}/content`, and at a path with a verb and a query.
async fn gateway(upstream: &Upstream, extra: &[(&str, &str)]) -> Gateway {
    let mut settings = settings(&upstream.base_url(), &[QUICK, extra].concat());
    let contents = ["/v1/videos/{id}/content", "/v1beta/files/{id}:download?alt=media"];
    let contents = contents.map(|path| Route::parse_content(path).unwrap());
    settings.upstream.content_routes = Routes::new(contents.into());
    gateway_of(&settings).await
}

/// An answer with these header lines.
fn answer(status: u16, headers: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    Reply::raw([head.as_bytes(), body].concat(), End::KeepAlive)
}

fn film(body: &[u8]) -> Reply {
    answer(200, FILM, body)
}

/// A film of so many bytes.
fn long_film(length: usize) -> Reply {
    film(&vec![7; length])
}

/// A client that has asked for the content and reads what the test lets it.
async fn reader(gateway: &Gateway, headers: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(gateway.address).await.unwrap();
    let head = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", gateway.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until the head is over.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn the_bytes_pass_with_what_describes_them_and_nothing_else() {
    let fields = "ETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccept-Ranges: bytes\r\n\
        Content-Type: Video/MP4; codecs=x\r\nContent-Disposition: attachment; filename=\"a.mp4\"\r\n\
        Set-Cookie: a=b\r\nServer: secret\r\nX-Internal: 1\r\nAccess-Control-Allow-Origin: *\r\n\
        Cache-Control: public, max-age=9\r\nLink: <x>\r\n";
    let upstream = Upstream::always(answer(200, fields, b"\0film\xff")).await;
    let gateway = gateway(&upstream, &[]).await;
    let asked = "Cookie: c=1\r\nAccept: video/webm\r\nAuthorization: Bearer mine\r\nUser-Agent: client\r\nRange: bytes=0-\r\n\
        X-Other: 1\r\nReferer: http://localhost/\r\n";
    let got = get_with(gateway.address, &format!("{PATH}?ticket=secret&x=1"), asked).await;
    assert_eq!((got.status, &got.body[..]), (200, &b"\0film\xff"[..]));
    for (name, value) in [
        ("etag", "\"v1\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("accept-ranges", "bytes"),
        ("content-type", "Video/MP4; codecs=x"),
        ("content-disposition", "attachment; filename=\"a.mp4\""),
        ("content-length", "6"),
        ("cache-control", "private, no-cache"),
        ("cache-status", "taskgate; fwd=bypass; fwd-status=200"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(got.expect(name), value);
    }
    let policy = got.expect("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none';") && policy.contains("sandbox") && !policy.contains("script")
    );
    for name in ["set-cookie", "server", "x-internal", "link", "access-control-allow-origin"] {
        assert_eq!(got.header(name), None);
    }
    let heard = upstream.heard();
    let expected = format!(
        "GET {PATH} HTTP/1.1\r\nauthorization: Bearer {KEY}\r\naccept: */*\r\naccept-encoding: identity\r\n\
         user-agent: taskgate/{}\r\nrange: bytes=0-\r\nhost: {}\r\n\r\n",
        env!("CARGO_PKG_VERSION"),
        upstream.address
    );
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.split("\r\n").map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&heard[0]), sorted(&expected));
}

#[tokio::test]
async fn parts_conditions_and_heads_pass() {
    let upstream = Upstream::start(|_, request| {
        let request = request.to_lowercase();
        if request.starts_with("head") {
            Reply::raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 900\r\nContent-Type: video/mp4\r\n\r\n",
                End::KeepAlive,
            )
        } else if request.contains("if-none-match: \"v1\"") {
            answer(304, "ETag: \"v1\"\r\n", b"")
        } else if request.contains("range: bytes=900-") {
            answer(416, "Content-Range: bytes */900\r\n", b"")
        } else if request.contains("range: bytes=2-3\r\n") && request.contains("if-range: \"v1\"") {
            answer(206, &format!("{FILM}Content-Range: bytes 2-3/900\r\nETag: \"v1\"\r\n"), b"lm")
        } else {
            film(b"film")
        }
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    let part = get_with(gateway.address, PATH, "Range: bytes=2-3\r\nIf-Range: \"v1\"\r\n").await;
    assert_eq!((part.status, part.text().as_str()), (206, "lm"));
    assert_eq!(part.expect("content-range"), "bytes 2-3/900");
    let same = get_with(gateway.address, PATH, "If-None-Match: \"v1\"\r\n").await;
    assert_eq!((same.status, same.body.len(), same.expect("etag")), (304, 0, "\"v1\"".to_owned()));
    let beyond = get_with(gateway.address, PATH, "Range: bytes=900-\r\n").await;
    assert_eq!((beyond.status, beyond.expect("content-range").as_str()), (416, "bytes */900"));
    let about = request(gateway.address, "HEAD", PATH, "").await;
    assert_eq!((about.status, about.body.len(), about.expect("content-length").as_str()), (200, 0, "900"));
    let whole = get_with(gateway.address, PATH, "Range: bytes=0-1,2-3\r\n").await;
    assert_eq!((whole.status, whole.text().as_str()), (200, "film"), "several ranges are none");
    assert!(!upstream.heard().last().unwrap().contains("range"));
    until_metric(gateway.admin, r#"taskgate_downloads_total{end="complete"}"#, 2).await;
}

#[tokio::test]
async fn a_path_with_a_verb_and_a_query_is_asked_for_as_configured() {
    let upstream = Upstream::always(film(b"film")).await;
    let gateway = gateway(&upstream, &[]).await;
    assert_eq!(get(gateway.address, "/v1beta/files/qu4d:download?alt=json&key=mine").await.status, 200);
    assert!(upstream.heard()[0].starts_with("GET /v1beta/files/qu4d:download?alt=media HTTP/1.1\r\n"));
    for path in
        ["/v1beta/files/qu4d:upload", "/v1beta/files/qu4d", "/v1/videos/a/b/content", "/v1/audio/a/content"]
    {
        assert_eq!(get(gateway.address, path).await.error_code(), "unknown_route", "{path}");
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn only_ids_go_upstream() {
    let upstream = Upstream::always(film(b"film")).await;
    let gateway = gateway(&upstream, &[]).await;
    let long = "a".repeat(301);
    for id in ["..", ".", "%2e%2e", "a%2fb", "a%5cb", "a%00", "a;b", "%61", "a+b", "a:b", "é", "", &long] {
        let got = get(gateway.address, &format!("/v1/videos/{id}/content")).await;
        assert_eq!(got.error_code(), "invalid_task_id", "{id}");
    }
    for path in
        ["/v1/videos//content", "/v1/videos/a/../b/content", "//v1/videos/a/content", "/v1/videos/a/content/"]
    {
        assert!(matches!(get(gateway.address, path).await.status, 400 | 404), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(
            request(gateway.address, method, PATH, "").await.error_code(),
            "method_not_allowed",
            "{method}"
        );
    }
    let body = get_with(gateway.address, PATH, "Content-Length: 3\r\n").await;
    assert_eq!(body.error_code(), "body_not_allowed");
    let foreign = get_with(gateway.address, PATH, "Origin: https://evil.example\r\n").await;
    assert_eq!(foreign.error_code(), "origin_not_allowed");
    let rebound = exchange(
        gateway.address,
        format!("GET {PATH} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(rebound.starts_with(b"HTTP/1.1 403"));
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_ticket_opens_the_content_of_its_task_alone() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("/a/") {
            film(b"film")
        } else {
            Reply::new(404, "", r#"{"error":{"code":"none"}}"#)
        }
    })
    .await;
    let files = tempfile::tempdir().unwrap();
    let secrets = files.path().join("secrets");
    std::fs::write(&secrets, crate::access::SECRET).unwrap();
    let secrets = [("access.mode", "protected"), ("access.ticket_secret_file", secrets.to_str().unwrap())];
    let gateway = gateway(&upstream, &secrets).await;
    let mine = ticket(&["a"], 60.0);
    assert_eq!(get(gateway.address, &format!("{PATH}?ticket={mine}")).await.text(), "film");
    let bearer = format!("Authorization: Bearer {mine}\r\n");
    assert_eq!(get_with(gateway.address, PATH, &bearer).await.text(), "film");
    let asked = upstream.count();
    for (path, code) in [
        ("/v1/videos/b/content", "ticket_not_for_task"),
        ("/v1/videos/missing/content", "ticket_not_for_task"),
        ("/v1/videos/a!/content", "invalid_task_id"),
    ] {
        assert_eq!(get_with(gateway.address, path, &bearer).await.error_code(), code, "{path}");
    }
    assert_eq!(get(gateway.address, PATH).await.error_code(), "missing_credentials");
    let old = format!("{PATH}?ticket={}", ticket(&["a"], -1.0));
    assert_eq!(get(gateway.address, &old).await.error_code(), "invalid_credentials");
    assert_eq!(upstream.count(), asked, "nobody else's request goes upstream");
}

#[tokio::test]
async fn a_redirect_is_never_followed_with_the_key() {
    let store = Upstream::always(film(b"stolen")).await;
    let address = store.address;
    for status in [301, 302, 303, 307, 308] {
        let other = format!("Location: http://localhost:{}/signed?x=1\r\n", address.port());
        let upstream = Upstream::always(answer(status, &other, b"")).await;
        let gateway = gateway(&upstream, &[]).await;
        let got = get(gateway.address, PATH).await;
        assert_eq!(got.status, status);
        assert_eq!(got.expect("location"), format!("http://localhost:{}/signed?x=1", address.port()));
        assert_eq!((got.expect("cache-control").as_str(), got.body.len()), ("no-store", 0));
        for inside in
            ["/v1/videos/a/file", &format!("{}/x", upstream.base_url()), "//127.0.0.1/x", "", "mailto:a"]
        {
            let upstream = Upstream::always(answer(status, &format!("Location: {inside}\r\n"), b"")).await;
            let gateway = self::gateway(&upstream, &[]).await;
            let got = get(gateway.address, PATH).await;
            assert_eq!(
                (got.status, got.error_code().as_str()),
                (502, "upstream_invalid_response"),
                "{inside}"
            );
            assert_eq!(upstream.count(), 1);
        }
        let echo = format!("Location: http://localhost/{KEY}\r\n");
        let upstream = Upstream::always(answer(status, &echo, b"")).await;
        let got = get(self::gateway(&upstream, &[]).await.address, PATH).await;
        assert!(got.status == 502 && !format!("{got:?}").contains(KEY));
    }
    assert_eq!(store.count(), 0);
}

#[tokio::test]
async fn other_answers_are_what_they_are_for_a_task() {
    let json = r#"{"error":{"code":"not_ready"}}"#;
    let cases = [
        (Reply::new(404, "", json), 404, ""),
        (Reply::new(409, "", json), 409, ""),
        (Reply::new(403, "", json), 403, ""),
        (Reply::new(202, "Retry-After: 3\r\n", json), 202, ""),
        (Reply::raw("HTTP/1.1 204 No Content\r\n\r\n", End::KeepAlive), 502, "upstream_invalid_response"),
        (answer(404, "Content-Type: text/html\r\n", b"<h1>no</h1>"), 502, "upstream_invalid_response"),
        (Reply::new(401, "", json), 502, "upstream_key_rejected"),
        (Reply::new(402, "", json), 502, "upstream_quota_exhausted"),
        (Reply::new(429, "Retry-After: 7\r\n", json), 429, "upstream_rate_limited"),
        (Reply::new(503, "", json), 502, "upstream_error"),
        (Reply::raw("", End::Close), 502, "upstream_unreachable"),
        (Reply::new(200, "", json), 502, "upstream_invalid_response"),
        (answer(200, "Content-Type: text/html\r\n", b"<script>"), 502, "upstream_invalid_response"),
        (answer(200, "", b"film"), 502, "upstream_invalid_response"),
        (
            answer(200, &format!("{FILM}Content-Encoding: gzip\r\n"), b"film"),
            502,
            "upstream_invalid_response",
        ),
        (
            answer(206, &format!("{FILM}Content-Range: bytes 0-3/4\r\n"), b"film"),
            502,
            "upstream_invalid_response",
        ),
        (answer(304, "", b""), 502, "upstream_invalid_response"),
        (answer(416, "Content-Range: bytes */4\r\n", b""), 502, "upstream_invalid_response"),
        (answer(200, FILM, &[7; 2000]), 502, "upstream_invalid_response"),
    ];
    for (reply, status, code) in cases {
        let shown = String::from_utf8_lossy(&reply.bytes).into_owned();
        let upstream = Upstream::always(reply).await;
        let gateway = gateway(&upstream, &[("content.max_length", "1KiB")]).await;
        let got = get(gateway.address, PATH).await;
        assert_eq!(got.status, status, "{shown}");
        if code.is_empty() {
            assert_eq!(
                (got.text().as_str(), got.expect("content-type").as_str()),
                (json, "application/json")
            );
            assert_eq!(got.expect("cache-control"), "no-store");
        } else {
            assert_eq!(got.error_code(), code, "{shown}");
        }
        assert_eq!(upstream.count(), 1, "none is repeated");
    }
    for length in [
        "bytes 0-9/4",
        "bytes 1-0/4",
        "bytes 0-2/4",
        "items 0-3/4",
        "bytes */4",
        "bytes 4-7/9",
        "bytes 0-3/9999999999999",
    ] {
        let upstream =
            Upstream::always(answer(206, &format!("{FILM}Content-Range: {length}\r\n"), b"film")).await;
        let gateway = gateway(&upstream, &[]).await;
        let got = get_with(gateway.address, PATH, "Range: bytes=0-3\r\n").await;
        assert_eq!(got.error_code(), "upstream_invalid_response", "{length}");
    }
}

#[tokio::test]
async fn the_key_is_in_no_byte_that_passes() {
    let echo = format!("{FILM}ETag: \"{KEY}\"\r\nContent-Disposition: attachment; filename={KEY}\r\n");
    let body = format!("xx{KEY}yy{KEY}");
    let upstream = Upstream::always(answer(200, &echo, body.as_bytes())).await;
    let gateway = gateway(&upstream, &[]).await;
    let got = get(gateway.address, PATH).await;
    let stars = "*".repeat(KEY.len());
    assert_eq!((got.status, got.text()), (200, format!("xx{stars}yy{stars}")));
    assert!(got.header("etag").is_none() && got.header("content-disposition").is_none());
    // A byte that is no ASCII had hidden it: as of a file's name.
    for (name, status, asked) in [
        ("Content-Disposition", 200, ""),
        ("ETag", 200, ""),
        ("Last-Modified", 200, ""),
        ("Accept-Ranges", 200, ""),
        ("ETag", 304, "If-None-Match: \"a\"\r\n"),
        ("Content-Range", 416, "Range: bytes=9-\r\n"),
        ("ETag", 412, "If-Match: \"a\"\r\n"),
    ] {
        let mut head = format!("HTTP/1.1 {status} X\r\n{FILM}Content-Length: 0\r\n{name}: ").into_bytes();
        head.extend_from_slice(b"\"\xe9");
        head.extend_from_slice(format!("{KEY}\"\r\n\r\n").as_bytes());
        let upstream = Upstream::always(Reply::raw(head, End::KeepAlive)).await;
        let gateway = self::gateway(&upstream, &[]).await;
        let head =
            format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\n{asked}Connection: close\r\n\r\n", gateway.address);
        let got = exchange(gateway.address, head.as_bytes()).await;
        let got = String::from_utf8_lossy(&got);
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status}")) && !got.contains(KEY),
            "{name} of a {status}: {got}"
        );
    }
    let json = format!(r#"{{"error":"{KEY}"}}"#);
    let upstream = Upstream::always(Reply::new(404, "", &json)).await;
    let got = get(self::gateway(&upstream, &[]).await.address, PATH).await;
    assert_eq!((got.status, got.text().as_str()), (404, r#"{"error":"***"}"#));
}

/// The upstream had gone on sending for a client that was gone.
#[tokio::test]
async fn a_client_that_leaves_ends_the_upstreams_request() {
    let upstream = Upstream::start(
        |number, _| {
            if number == 0 { Reply::raw("", End::Hang) } else { long_film(64 << 20) }
        },
    )
    .await;
    let gateway =
        gateway(&upstream, &[("upstream.timeout", "10m"), ("server.write_stall_timeout", "10m")]).await;
    let closed = async || (upstream.open() == 0).then_some(());
    let waiting = reader(&gateway, "").await;
    upstream.asked(1).await;
    drop(waiting);
    until("the request without an answer ends", closed).await;
    let mut reading = reader(&gateway, "").await;
    assert!(head(&mut reading).await.starts_with("HTTP/1.1 200"));
    reading.read_exact(&mut [0; 1000]).await.unwrap();
    assert_eq!(upstream.open(), 1);
    drop(reading);
    until("the answer under way ends", closed).await;
    until_metric(gateway.admin, r#"taskgate_downloads_total{end="left"}"#, 1).await;
    until_metric(gateway.admin, "taskgate_downloads_open", 0).await;
}

#[tokio::test]
async fn the_upstream_is_read_no_faster_than_the_client_reads() {
    const LENGTH: usize = 64 << 20;
    let upstream = Upstream::always(long_film(LENGTH)).await;
    let gateway = gateway(&upstream, &[]).await;
    let mut reading = reader(&gateway, "Connection: close\r\n").await;
    head(&mut reading).await;
    let passed = async || {
        let page = get(gateway.admin, "/metrics").await.text();
        let line = page.lines().find_map(|line| line.strip_prefix("taskgate_downloaded_bytes_total "));
        line.unwrap().parse::<usize>().unwrap()
    };
    // What the sockets on the way hold, and no more: it stops growing.
    let mut looks = Vec::new();
    let held = until("no more is taken", async || {
        let now = passed().await;
        looks.push(now);
        (looks.iter().rev().take_while(|seen| **seen == now).count() > 20).then_some(now)
    })
    .await;
    assert!(held < LENGTH / 2, "{held} bytes are on the way");
    let mut rest = Vec::new();
    reading.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), LENGTH);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_stalls_cuts_the_connection() {
    let part = format!("HTTP/1.1 200 OK\r\n{FILM}Content-Length: 100\r\n\r\nfilm");
    for (end, settings) in
        [(End::Close, &[][..]), (End::Reset, &[]), (End::Hang, &[("content.stall_timeout", "100ms")])]
    {
        let upstream = Upstream::always(Reply::raw(part.clone(), end)).await;
        let gateway = gateway(&upstream, settings).await;
        let mut reading = reader(&gateway, "").await;
        if end != End::Reset {
            let head = head(&mut reading).await;
            assert!(
                head.starts_with("HTTP/1.1 200") && head.contains("content-length: 100\r\n"),
                "{end:?}: {head}"
            );
        }
        let mut rest = Vec::new();
        let _ = reading.read_to_end(&mut rest).await;
        assert!(rest.len() <= 4 || end == End::Reset, "{end:?}");
        until_metric(gateway.admin, r#"taskgate_downloads_total{end="broken"}"#, 1).await;
    }
    // Longer than it may be, which only shows as it comes.
    let chunk = |byte: &str| format!("400\r\n{}\r\n", byte.repeat(0x400));
    let chunked = format!("HTTP/1.1 200 OK\r\n{FILM}Transfer-Encoding: chunked\r\n\r\n{}", chunk("x"));
    let upstream =
        Upstream::always(Reply::raw(format!("{chunked}{}0\r\n\r\n", chunk("y")), End::KeepAlive)).await;
    let gateway = gateway(&upstream, &[("content.max_length", "1KiB")]).await;
    let mut got = Vec::new();
    let _ = reader(&gateway, "").await.read_to_end(&mut got).await;
    let text = String::from_utf8_lossy(&got);
    assert!(!text.contains("yy") && !text.ends_with("0\r\n\r\n"), "the client sees that it is cut: {text}");
}

/// It had been a whole, short film for whoever speaks HTTP/1.0, as nginx does by default.
#[tokio::test]
async fn a_cut_without_a_length_is_a_reset_where_there_are_no_chunks() {
    let chunked = format!("HTTP/1.1 200 OK\r\n{FILM}Transfer-Encoding: chunked\r\n\r\n4\r\nfilm\r\n");
    let whole = Upstream::always(Reply::raw(format!("{chunked}0\r\n\r\n"), End::KeepAlive)).await;
    let cut = Upstream::always(Reply::raw(chunked, End::Close)).await;
    for (upstream, is_whole) in [(&whole, true), (&cut, false)] {
        let gateway = gateway(upstream, &[]).await;
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("GET {PATH} HTTP/1.0\r\nHost: {}\r\n\r\n", gateway.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got).await;
        assert_eq!(end.is_ok(), is_whole, "{end:?}");
        assert!(got.ends_with(b"film") || !is_whole);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let upstream = Upstream::always(long_film(64 << 20)).await;
    let gateway = gateway(&upstream, &[("server.write_stall_timeout", "200ms")]).await;
    let mut reading = reader(&gateway, "").await;
    head(&mut reading).await;
    until("the upstream's request ends", async || (upstream.open() == 0).then_some(())).await;
    let mut rest = Vec::new();
    let _ = reading.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 << 20);
}

#[tokio::test]
async fn places_are_shared_out_and_the_one_with_most_gives_way() {
    let upstream = Upstream::always(long_film(64 << 20)).await;
    let proxied = [
        ("server.trusted_proxies", "127.0.0.1"),
        ("content.max_downloads", "3"),
        ("limits.max_downloads", "3"),
    ];
    let gateway = gateway(&upstream, &proxied).await;
    let of = |client: &str| format!("X-Forwarded-For: {client}\r\n");
    let mut greedy = Vec::new();
    for _ in 0..3 {
        let mut stream = reader(&gateway, &of("192.0.2.1")).await;
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        greedy.push(stream);
    }
    let fourth = get_with(gateway.address, PATH, &of("192.0.2.1")).await;
    assert_eq!((fourth.status, fourth.error_code().as_str()), (429, "client_rate_limited"));
    let mut honest = reader(&gateway, &of("192.0.2.2")).await;
    assert!(head(&mut honest).await.starts_with("HTTP/1.1 200"));
    // The oldest of the greedy client's ends.
    let mut rest = Vec::new();
    let _ = greedy.remove(0).read_to_end(&mut rest).await;
    assert!(rest.len() < 64 << 20);
    until_metric(gateway.admin, r#"taskgate_downloads_total{end="gave_way"}"#, 1).await;
    until_metric(gateway.admin, "taskgate_downloads_open", 3).await;
    // Two, one, and one for a third: nobody has more than it would have then, except the first.
    let mut third = reader(&gateway, &of("192.0.2.3")).await;
    assert!(head(&mut third).await.starts_with("HTTP/1.1 200"));
    let full = get_with(gateway.address, PATH, &of("192.0.2.4")).await;
    assert_eq!((full.status, full.error_code().as_str()), (503, "overloaded"));
}

#[tokio::test]
async fn each_download_costs_a_request_of_the_budget() {
    let upstream = Upstream::always(film(b"film")).await;
    let budget = [
        ("budget.requests_per_minute", "60"),
        ("budget.share", "0.5"),
        ("budget.burst", "3"),
        ("polling.patience", "0s"),
    ];
    let gateway = gateway(&upstream, &budget).await;
    let mut got: Vec<Answer> = Vec::new();
    for _ in 0..5 {
        got.push(get(gateway.address, PATH).await);
    }
    assert_eq!(got.iter().filter(|answer| answer.status == 200).count(), 3);
    let refused = got.last().unwrap();
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "budget_exhausted"));
    assert!(refused.expect("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(upstream.count(), 3);
}

/// A download holds no place among the requests in flight: sixty-four films would have stopped all polls.
#[tokio::test]
async fn downloads_do_not_stand_in_the_way_of_polls() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("content") {
            long_film(64 << 20)
        } else {
            Reply::json(r#"{"status":"completed"}"#)
        }
    })
    .await;
    let gateway = gateway(&upstream, &[("upstream.max_in_flight", "1")]).await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut stream = reader(&gateway, "").await;
        head(&mut stream).await;
        readers.push(stream);
    }
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 200);
}

/// curl, whose first download is cut in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn curl_resumes_a_download_that_was_cut() {
    const LENGTH: usize = 3 << 20;
    let Some(curl) = program_path("curl") else { return };
    let whole: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
    let served = whole.clone();
    let upstream = Upstream::start(move |number, request| {
        let request = request.to_lowercase();
        let from = request
            .split("range: bytes=")
            .nth(1)
            .map_or(0, |rest| rest.split('-').next().unwrap().parse().unwrap());
        let rest = &served[from..];
        let range = format!("Content-Range: bytes {from}-{}/{LENGTH}\r\n", LENGTH - 1);
        let (status, range) = if from == 0 { (200, "") } else { (206, range.as_str()) };
        let reply = answer(status, &format!("{FILM}ETag: \"v1\"\r\nAccept-Ranges: bytes\r\n{range}"), rest);
        let length = reply.bytes.len();
        if number < 2 { Reply::raw(&reply.bytes[..length / 2], End::Close) } else { reply }
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.mp4");
    let codes: Vec<_> = (0..3)
        .map(|_| {
            let mut command = std::process::Command::new(&curl);
            command.args(["--silent", "--show-error", "--fail", "--continue-at", "-", "--output"]).arg(&file);
            command.arg(format!("http://{}{PATH}", gateway.address)).status().unwrap().code()
        })
        .collect();
    // 18: a partial file.
    assert_eq!(codes, [Some(18), Some(18), Some(0)]);
    let hash = |bytes: &[u8]| sha256::hash(bytes);
    assert_eq!(hash(&std::fs::read(&file).unwrap()), hash(&whole));
    let ranges =
        upstream.heard().iter().filter(|request| request.to_lowercase().contains("range: bytes=")).count();
    assert_eq!(ranges, 2);
}
