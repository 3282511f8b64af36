//! Checks the query of a list, `/v1/tasks?id=…`: each task that it names has one item, in its order, and is the
//! task that its own path would show.

use std::sync::LazyLock;

use serde_json::Value;

use super::gateway::{Fixture, Reply, start};

/// Every task has ended, and says which one it is.
static GATEWAY: LazyLock<Fixture> = LazyLock::new(|| {
    start(|path| {
        let body = serde_json::json!({"status": "completed", "path": path}).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    })
});

const MOST: usize = 100;

/// `data` is the query. What may not stand in one is written as an escape.
pub fn check(data: &[u8]) {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~&=%+/;,?:@!$'()*".contains(&byte);
    let query: String = data
        .iter()
        .map(|byte| if may_stand(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let bytes = GATEWAY.exchange(&[format!("GET /v1/tasks?{query} {head}").as_bytes()], false);
    let mut rest = bytes.as_slice();
    let reply = Reply::take(&mut rest, false);
    assert_eq!(rest, b"", "one answer");

    let pairs = pairs(query.as_bytes());
    let values =
        |wanted| pairs.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let named: Vec<&str> = values("id").collect();
    let distinct = distinct(named.iter().copied());
    let waits = values("wait").next();
    let is_good_wait =
        waits.is_none_or(|wait| !wait.is_empty() && wait.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_good_wait || distinct.is_empty() || distinct.len() > MOST {
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_parameter"));
        return;
    }
    // Whether a hundred and one names of one task are too many is left open.
    if named.len() > MOST && reply.status == 400 {
        return;
    }
    assert_eq!(reply.status, 200);
    let json: Value = serde_json::from_slice(&reply.body).unwrap();
    let items = json["data"].as_array().unwrap();
    let shown = self::distinct(items.iter().map(|item| item["id"].as_str().unwrap()));
    assert_eq!(shown, distinct, "each task once, in the order of the request");
    for item in items {
        let id = item["id"].as_str().unwrap();
        let routes = &GATEWAY.routes;
        if let Ok(key) = if id.starts_with('/') { routes.find(id) } else { routes.bare(id) } {
            assert_eq!((&item["code"], &item["path"]), (&200.into(), &key.path().into()), "{id:?}");
            assert_eq!(item["task"]["path"], key.path(), "the item of another task");
        } else {
            assert!(matches!(item["code"].as_u64(), Some(400 | 404)), "{id:?}: {item}");
            assert!(item["task"].is_null() && item["error"]["type"] == "gateway_error", "{item}");
        }
    }
}

fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

/// The pairs of a query by the URL standard (5.1), letter by letter.
fn pairs(query: &[u8]) -> Vec<(String, String)> {
    let parts = query.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            let value = part.get(end + 1..).unwrap_or_default();
            (decoded(&part[..end]), decoded(value))
        })
        .collect()
}

fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut at = 0;
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    while let Some(byte) = text.get(at) {
        let escaped = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
        at += if escaped.is_some() { 3 } else { 1 };
        bytes.push(match (byte, escaped) {
            (_, Some((high, low))) => u8::try_from(high * 16 + low).unwrap(),
            (b'+', None) => b' ',
            (byte, None) => *byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
