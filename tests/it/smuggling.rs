//! Requests that two parsers may read in two ways (scorecard S3): each is read as it is meant, or its
//! connection ends. Behind each comes another request, and every answer belongs to the request it came for.

use crate::support::{Gateway, Reply, Upstream, exchange, gateway, get};

async fn fixture() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|_, request| {
        let id = request.split(['/', ' ']).nth(4).unwrap();
        Reply::json(&format!(r#"{{"status":"completed","id":"{id}"}}"#))
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    (upstream, gateway)
}

/// The answers of a connection in short: status, and the id of the task or the error's code.
fn answers(mut bytes: &[u8], heads_only: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            seen.push(format!("no head: {:?}", String::from_utf8_lossy(bytes)));
            return seen;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        bytes = &bytes[end + 4..];
        let status = head.split(' ').nth(1).unwrap().to_owned();
        if status == "100" {
            seen.push(status);
            continue;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
        let length: usize = if seen.len() < heads_only { 0 } else { length.parse().unwrap() };
        let body = String::from_utf8(bytes[..length].to_vec()).unwrap();
        bytes = &bytes[length..];
        let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let name = json["id"].as_str().or(json["error"]["code"].as_str()).unwrap_or_default();
        seen.push(format!("{status} {name}").trim_end().to_owned());
    }
    seen
}

const HOST: &str = "Host: localhost\r\n";
/// Bytes that a misled parser would take for a request.
const INNER: &str = "GET /v1/tasks/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
const MARKER: &str = "GET /v1/tasks/marker HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Requests of one kind, each as raw bytes with `ID` for the task's id, and what the connection then carries.
struct Rows {
    requests: Vec<String>,
    answers: &'static [&'static str],
}

fn asking(headers: &str, body: &str) -> String {
    format!("GET /v1/tasks/ID HTTP/1.1\r\n{HOST}{headers}\r\n{body}")
}

fn chunked() -> String {
    format!("{:x}\r\n{INNER}\r\n0\r\n\r\n", INNER.len())
}

/// Length and coding told in ways that parsers quarrel about.
fn framing() -> Vec<Rows> {
    let length = INNER.len();
    let coded = |headers: &[&str]| headers.iter().map(|headers| asking(headers, &chunked())).collect();
    let sized = |values: &[&str]| {
        let line = |value: &&str| {
            asking(&format!("Content-Length{}\r\n", value.replace("52", &length.to_string())), INNER)
        };
        values.iter().map(line).collect()
    };
    assert_eq!(length, 52, "the number in the rows");
    vec![
        Rows {
            answers: &["400 body_not_allowed"],
            requests: coded(&[
                "Content-Length: 52\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked\r\nContent-Length: 52\r\n",
                "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: CHUNKED\r\n",
                "transfer-encoding:\tchunked\r\n",
                "Transfer-Encoding: identity, chunked\r\n",
                "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            ]),
        },
        Rows {
            answers: &["400"],
            requests: coded(&[
                "Transfer-Encoding: xchunked\r\n",
                "Transfer-Encoding: chunked, identity\r\n",
                "Transfer-Encoding: identity\r\n",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                "Transfer-Encoding:\r\n chunked\r\n",
                "X: y\r\n Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding : chunked\r\n",
                " Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: \"chunked\"\r\n",
                "Transfer-Encoding: chunked;x\r\n",
                "Transfer-Encoding:\x0bchunked\r\n",
                "Transfer-Encoding: chunked\0\r\n",
                "Transfer-Encoding: \r\n",
            ]),
        },
        // No header that means anything: what follows is a next request, and none that can be read.
        Rows { answers: &["200 ID", "400"], requests: coded(&["Transfer_Encoding: chunked\r\n"]) },
        Rows {
            answers: &["400 body_not_allowed"],
            requests: sized(&[": 52", ": 52\r\nContent-Length: 52", ": 52 ", ":\t52", ": 052"]),
        },
        Rows {
            answers: &["400"],
            requests: sized(&[
                ": 52\r\nContent-Length: 0",
                ": 0\r\nContent-Length: 52",
                ": 52, 52",
                ": 0, 52",
                ": +52",
                ": -52",
                ": 52 0",
                ": 0x34",
                ": 52.0",
                ": 18446744073709551616",
                ": ",
                " : 52",
                ":\r\n 52",
                ": 52\0",
            ]),
        },
        Rows { answers: &["431"], requests: sized(&[": 18446744073709551615"]) },
        Rows {
            answers: &["200 ID", "200 marker"],
            requests: ["0", "0\r\nContent-Length: 0"]
                .map(|zero| asking(&format!("Content-Length: {zero}\r\n"), ""))
                .into(),
        },
        Rows {
            answers: &["400"],
            requests: ["+0", "-0", "0, 0"]
                .map(|zero| asking(&format!("Content-Length: {zero}\r\n"), ""))
                .into(),
        },
    ]
}

/// Bodies where none is wanted, with other methods than GET: nobody reads them, and the connection ends.
fn bodies() -> Vec<Rows> {
    let length = INNER.len();
    let with_body = |methods: &[&str]| {
        let request = |method: &&str| {
            [
                format!("Content-Length: {length}\r\n\r\n{INNER}"),
                format!("Transfer-Encoding: chunked\r\n\r\n{}", chunked()),
            ]
            .map(|rest| format!("{method} /v1/tasks/ID HTTP/1.1\r\n{HOST}{rest}"))
        };
        methods.iter().flat_map(request).collect()
    };
    let expecting = format!("Expect: 100-continue\r\nContent-Length: {length}\r\n");
    vec![
        Rows { answers: &["400"], requests: with_body(&["HEAD"]) },
        // Both at once: the coding counts, and the connection ends (RFC 9112, 6.1).
        Rows {
            answers: &["405 method_not_allowed"],
            requests: [
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
            ]
            .map(|both| format!("POST /v1/tasks/ID HTTP/1.1\r\n{HOST}{both}\r\n\r\n{}", chunked()))
            .into(),
        },
        Rows { answers: &["405 method_not_allowed"], requests: with_body(&["DELETE", "POST", "PUT"]) },
        Rows { answers: &["200"], requests: with_body(&["OPTIONS"]) },
        Rows { answers: &["400 body_not_allowed"], requests: vec![asking(&expecting, INNER)] },
        Rows {
            answers: &["200 ID", "200 marker"],
            requests: ["Expect: 100-continue\r\n", "Expect: nonsense\r\n"]
                .map(|headers| asking(headers, ""))
                .into(),
        },
    ]
}

/// Line ends, blanks and control characters.
fn lines() -> Vec<Rows> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.replace("HOST", HOST.trim_end())).collect();
    vec![
        // A bare LF may end a line (RFC 9112, 2.2), and empty lines before a request are skipped.
        Rows {
            answers: &["200 ID", "200 marker"],
            requests: texts(&[
                "GET /v1/tasks/ID HTTP/1.1\nHOST\n\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\nX: a\nY: b\r\n\r\n",
                "\r\nGET /v1/tasks/ID HTTP/1.1\r\nHOST\r\n\r\n",
                "\r\n\r\n\r\nGET /v1/tasks/ID HTTP/1.1\r\nHOST\r\n\r\n",
            ]),
        },
        Rows {
            answers: &["400"],
            requests: texts(&[
                "GET /v1/tasks/ID HTTP/1.1\rHOST\r\r",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\nX: a\0b\r\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\nX\0: ab\r\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\nX: a\rb\r\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\n: b\r\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\nno colon\r\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\nHost : localhost\r\n\r\n",
                "GET /v1/tasks/ID HTTP/1.1\r\n HOST\r\n\r\n",
                "GET  /v1/tasks/ID HTTP/1.1\r\nHOST\r\n\r\n",
                "GET /v1/tasks/ID  HTTP/1.1\r\nHOST\r\n\r\n",
                "GET\t/v1/tasks/ID\tHTTP/1.1\r\nHOST\r\n\r\n",
                "GET /v1/tasks/ID /x HTTP/1.1\r\nHOST\r\n\r\n",
                " GET /v1/tasks/ID HTTP/1.1\r\nHOST\r\n\r\n",
            ]),
        },
    ]
}

/// Forms of the target, versions, and offers to speak something else.
fn forms() -> Vec<Rows> {
    let texts = |texts: &[&str]| texts.iter().map(|text| format!("{text}\r\n{HOST}\r\n")).collect();
    vec![
        Rows {
            answers: &["200 ID", "200 marker"],
            requests: texts(&[
                "GET http://localhost/v1/tasks/ID HTTP/1.1",
                "GET /v1/tasks/ID#f HTTP/1.1",
                "GET /v1/tasks/ID HTTP/1.0\r\nConnection: keep-alive",
                "GET /v1/tasks/ID HTTP/1.1\r\nConnection: Host",
                "GET /v1/tasks/ID HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
                "GET /v1/tasks/ID HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]),
        },
        Rows { answers: &["200 ID"], requests: texts(&["GET /v1/tasks/ID HTTP/1.0"]) },
        Rows {
            answers: &["403 host_not_allowed", "200 marker"],
            requests: texts(&["GET http://evil.example/v1/tasks/ID HTTP/1.1"]),
        },
        Rows {
            answers: &["400 host_not_allowed", "200 marker"],
            requests: texts(&["GET /v1/tasks/ID HTTP/1.1\r\nHost: evil.example"]),
        },
        Rows {
            answers: &["404 unknown_route", "200 marker"],
            requests: texts(&["GET //localhost/v1/tasks/ID HTTP/1.1", "GET * HTTP/1.1"]),
        },
        Rows {
            answers: &["200", "200 marker"],
            requests: texts(&["OPTIONS * HTTP/1.1", "HEAD /v1/tasks/ID HTTP/1.1"]),
        },
        Rows {
            answers: &["405 method_not_allowed", "200 marker"],
            requests: texts(&[
                "CONNECT localhost:80 HTTP/1.1",
                "CONNECT /v1/tasks/ID HTTP/1.1",
                "get /v1/tasks/ID HTTP/1.1",
            ]),
        },
        Rows {
            answers: &["400"],
            requests: texts(&[
                "GET v1/tasks/ID HTTP/1.1",
                "GET /v1/tasks/ID",
                "GET /v1/tasks/ID HTTP/0.9",
                "GET /v1/tasks/ID HTTP/1.2",
                "GET /v1/tasks/ID HTTP/2.0",
                "GET /v1/tasks/ID http/1.1",
                "GET /v1/tasks/ID HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked",
            ]),
        },
        Rows {
            answers: &["400"],
            requests: ["GET /v1/tasks/ID\r\n", "GET /v1/tasks/ID\r\n\r\n"].map(str::to_owned).into(),
        },
        Rows { answers: &[], requests: vec!["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()] },
        Rows {
            answers: &["200", "200 ID", "404 unknown_route", "200 ID", "200 marker"],
            requests: vec![
                ["HEAD /v1/tasks/ID", "GET /v1/tasks/ID", "GET /nowhere", "GET /v1/tasks/ID"]
                    .map(|start| format!("{start} HTTP/1.1\r\n{HOST}\r\n"))
                    .concat(),
            ],
        },
    ]
}

/// Sends each request and the marker behind it, about a task that is known and about one that is not.
async fn all_belong(rows: Vec<Rows>) {
    let (upstream, gateway) = fixture().await;
    let mut number = 0;
    let mut wrong = Vec::new();
    let known = get(gateway.address, "/v1/tasks/known").await;
    assert_eq!(known.status, 200);
    for Rows { requests, answers: expected } in rows {
        for request in requests {
            number += 1;
            for id in ["known".to_owned(), format!("new{number}")] {
                let bytes = format!("{}{MARKER}", request.replace("ID", &id));
                let heads_only = usize::from(request.starts_with("HEAD"));
                let seen = answers(&exchange(gateway.address, bytes.as_bytes()).await, heads_only);
                let meant: Vec<_> = expected.iter().map(|answer| answer.replace("ID", &id)).collect();
                if seen != meant {
                    wrong.push(format!("{request:?}\n  meant {meant:?}\n  seen  {seen:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(upstream.heard().iter().all(|request| !request.contains("smuggled")));
}

#[tokio::test]
async fn a_length_that_can_be_read_in_two_ways_ends_the_connection() {
    all_belong(framing()).await;
}

#[tokio::test]
async fn a_body_is_no_second_request() {
    all_belong(bodies()).await;
}

#[tokio::test]
async fn odd_lines_hide_nothing() {
    all_belong(lines()).await;
}

#[tokio::test]
async fn odd_targets_and_versions_shift_no_answer() {
    all_belong(forms()).await;
}
