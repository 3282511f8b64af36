//! Checks a connection with many requests on it, sent ahead of their answers: each request has exactly one answer,
//! its own and in its turn, until one that ends the connection; and nothing behind that one is answered.

use std::sync::LazyLock;

use super::gateway::{Fixture, Reply, start};

/// Every task has ended, and says which one it is.
static GATEWAY: LazyLock<Fixture> = LazyLock::new(|| {
    start(|path| {
        let body = task(path);
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
});

const MOST: usize = 24;

fn task(path: &str) -> String {
    format!(r#"{{"status":"completed","path":"{path}"}}"#)
}

/// The subject of a request, and its mark in the answer.
struct Request {
    bytes: String,
    status: u16,
    shows: Shows,
    /// It is the last request that is answered.
    is_last: bool,
    /// Its client has to keep its own side open until the answer.
    must_stay: bool,
}

enum Shows {
    /// The body of this path's task.
    Task(String),
    /// The same as an event, or inside a list.
    Within(String),
    /// A head with the length of that body.
    Length(usize),
    Code(&'static str),
    Nothing,
}

/// Each byte of `data` is a request; the first also says how the client ends and how the bytes are cut.
pub fn check(data: &[u8]) {
    let Some((first, kinds)) = data.split_first() else { return };
    let mut requests: Vec<Request> = kinds.iter().take(MOST).enumerate().map(request).collect();
    // The end: of the client's side, or of the connection by a last request.
    let is_all = first % 2 == 1 && !requests.iter().any(|request| request.must_stay);
    if !is_all {
        let path = "/v1/tasks/marker".to_owned();
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let shows = Shows::Task(path);
        requests.push(Request { bytes, status: 200, shows, is_last: true, must_stay: false });
    }
    let bytes = requests.iter().map(|request| request.bytes.as_str()).collect::<String>().into_bytes();
    let size = [bytes.len().max(1), 1 + bytes.len() / 2, 997, 61][usize::from(first / 2 % 4)];
    let answers = GATEWAY.exchange(&bytes.chunks(size).collect::<Vec<_>>(), is_all);
    let mut rest = answers.as_slice();
    for request in &requests {
        let reply = Reply::take(&mut rest, request.bytes.trim_start().starts_with("HEAD"));
        let at = || format!("{}{reply:?}", request.bytes);
        assert_eq!(reply.status, request.status, "{}", at());
        let body = String::from_utf8_lossy(&reply.body);
        match &request.shows {
            Shows::Task(path) => assert_eq!(body, task(path), "{}", at()),
            Shows::Within(path) => assert!(body.contains(&task(path)), "{}", at()),
            Shows::Length(length) => assert_eq!(reply.length(), *length, "{}", at()),
            Shows::Code(code) => assert_eq!(reply.code(), *code, "{}", at()),
            Shows::Nothing => assert!(reply.body.is_empty() || body == "alive\n", "{}", at()),
        }
        if request.is_last {
            break;
        }
    }
    assert_eq!(String::from_utf8_lossy(rest), "", "more answers than requests");
}

/// The request of a byte at this place. No two places of a connection ask for the same task.
fn request((place, byte): (usize, &u8)) -> Request {
    // The kinds in turn leave some values of a byte for how old the task is: known before, or new.
    let age = byte / 32;
    let path = format!("/v1/tasks/t{age}-{place}{}", "x".repeat(place));
    let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
    let with = |headers: &str| format!("{get}{headers}\r\n");
    let task_of = || Shows::Task(path.clone());
    let (bytes, status, shows) = match byte % 24 {
        0 | 1 => (with(""), 200, task_of()),
        2 => (with("").replace("GET", "HEAD"), 200, Shows::Length(task(&path).len())),
        3 => (
            format!("GET /v1/tasks?id={path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            200,
            Shows::Within(path.clone()),
        ),
        4 => (with("").replace("/v1/tasks/", "/nowhere/"), 404, Shows::Code("unknown_route")),
        5 => (with("").replace("/tasks/t", "/tasks/~t"), 400, Shows::Code("invalid_task_id")),
        6 => (with("Prefer: wait=9\r\n"), 200, task_of()),
        7 => (with("Accept: text/event-stream\r\n"), 200, Shows::Within(path.clone())),
        8 => (with("").replace("GET", "OPTIONS"), 200, Shows::Nothing),
        9 => (with("").replace("GET", "PUT"), 405, Shows::Code("method_not_allowed")),
        10 => (with("Expect: 100-continue\r\n"), 200, task_of()),
        11 => (format!("\r\n\r\n{}", with("")), 200, task_of()),
        12 => {
            (with("").replace("Host: localhost", "Host: evil.example"), 403, Shows::Code("host_not_allowed"))
        }
        13 => {
            (with("").replace("Host: localhost", "Host: [127.0.0.1]"), 403, Shows::Code("host_not_allowed"))
        }
        14 => (with("If-None-Match: *\r\n"), 304, Shows::Nothing),
        15 => (with("").replace(&path, "/livez"), 200, Shows::Nothing),
        16 => (with("").replace(" /v1", " http://localhost/v1"), 200, task_of()),
        17 => (with("").replace("\r\n", "\n"), 200, task_of()),
        18 => (with("Origin: http://evil.example\r\n"), 403, Shows::Code("origin_not_allowed")),
        // The end of the connection.
        19 => (with("Connection: close\r\n"), 200, task_of()),
        20 => (with("").replace("HTTP/1.1", "HTTP/1.0"), 200, task_of()),
        21 => (
            with("Content-Length: 4\r\n").replace("GET", "POST") + "GET ",
            405,
            Shows::Code("method_not_allowed"),
        ),
        22 => (with("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400, Shows::Code("body_not_allowed")),
        _ => (with("no colon\r\n"), 400, Shows::Nothing),
    };
    let is_last = (19..24).contains(&(byte % 24));
    Request { bytes, status, shows, is_last, must_stay: matches!(byte % 24, 6 | 7) }
}
