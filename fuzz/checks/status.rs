//! Checks the classification of upstream answers, of any bytes with any status code: only complete JSON
//! becomes a snapshot.
//!
//! It is compared with two other parsers: one of the JSON grammar (RFC 8259), written here, decides whether a
//! body is complete, and `serde_json::Value` decides on its phase. The latter refuses some bodies that the
//! gateway passes on (huge numbers, deep nesting): then only the former counts.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use taskgate::config::{self, Sources};
use taskgate::core::failure::Failure;
use taskgate::core::ports::Fetched;
use taskgate::core::snapshot::Phase;
use taskgate::core::task::TaskKey;
use taskgate::upstream::classify::{self, Judge, Unreadable};
use tokio::time::Instant;

const POINTERS: [&str; 4] = ["/status", "/0", "/data/0/a~1b", "/~0"];
const TERMINAL: [&str; 6] = ["completed", "succeeded", "failed", "cancelled", "canceled", "expired"];

static TASK: LazyLock<TaskKey> = LazyLock::new(|| settings("/status").routes.bare("t").unwrap());
static JUDGES: LazyLock<Vec<Judge>> = LazyLock::new(|| POINTERS.map(judge).into());

/// `data` is a line with the status code, then the body; without such a line it is the body of a 200.
pub fn check(data: &[u8]) {
    let (code, body) = split(data);
    let Ok(status) = StatusCode::from_u16(code) else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_784_000_000);
    let decided = classify::by_status(status, &HeaderMap::new(), now);
    assert_eq!(decided, by_the_table(code));
    if decided.is_some() {
        return;
    }
    // A byte order mark is skipped.
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let is_complete = std::str::from_utf8(json).is_ok() && is_json(json);
    let mut opinion: Option<Value> = serde_json::from_slice(json).ok();
    assert!(is_complete || opinion.is_none(), "the two opinions differ");
    if is_complete {
        opinion = opinion.or_else(|| serde_json::from_slice(&without_surrogates(json)).ok());
    }
    for (pointer, judge) in POINTERS.iter().zip(JUDGES.iter()) {
        let json = HeaderValue::from_static("application/json");
        let bytes = Bytes::copy_from_slice(body);
        let verdict = judge.answer(&TASK, status, json, bytes, Instant::now(), now);
        // A status that held a lone surrogate is not compared.
        let is_clear = |document: &&Value| {
            document.pointer(pointer).and_then(Value::as_str).is_none_or(|word| !word.contains('\u{fffd}'))
        };
        if let Some(document) = opinion.as_ref().filter(is_clear) {
            let phase =
                verdict.as_ref().map(|answer| answer.snapshot.phase).map_err(|unreadable| *unreadable);
            assert_eq!(phase, phase_of(document, pointer, code), "{pointer:?}");
        }
        match verdict {
            Ok(Fetched { snapshot, foreign }) => {
                assert!(is_complete, "not complete JSON");
                assert_eq!((snapshot.status, &snapshot.body[..]), (status, body));
                assert_eq!(snapshot.phase.is_known(), code < 400);
                assert_eq!(snapshot.phase == Phase::Missing, matches!(code, 404 | 410));
                assert!(snapshot.result_lifetime.is_none() || snapshot.phase == Phase::Terminal);
                assert_eq!(snapshot.etag.len(), 34);
                if let Some(document) = &opinion {
                    assert_eq!(foreign.is_some(), names_another(document));
                }
            }
            Err(unreadable) => {
                assert_eq!(unreadable == Unreadable::NotJson, !is_complete);
                // Complete JSON is refused only in a 2xx, if it is an error or no object.
                assert!(!is_complete || code < 400, "complete JSON");
            }
        }
    }
}

fn split(data: &[u8]) -> (u16, &[u8]) {
    let line = data.iter().position(|byte| *byte == b'\n').map(|end| (&data[..end], &data[end + 1..]));
    line.and_then(|(line, body)| Some((std::str::from_utf8(line).ok()?.parse().ok()?, body)))
        .unwrap_or((200, data))
}

/// The text with `\ufffd` for each escaped surrogate: `Value` refuses lone ones.
fn without_surrogates(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    let mut at = 0;
    while let Some(escape) = text[at..].iter().position(|byte| *byte == b'\\') {
        at += escape;
        if let Some([b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]) =
            text.get(at + 1..at + 6)
        {
            text[at..at + 6].copy_from_slice(br"\ufffd");
        }
        at = text.len().min(at + 2);
    }
    text
}

fn by_the_table(code: u16) -> Option<Failure> {
    match code {
        401 => Some(Failure::KeyRejected),
        402 => Some(Failure::QuotaExhausted),
        429 => Some(Failure::RateLimited { retry_after: None }),
        200..=299 | 400..=499 => None,
        100..=399 => Some(Failure::InvalidResponse { status: code }),
        _ => Some(Failure::ServerError { status: code, retry_after: None }),
    }
}

fn phase_of(document: &Value, pointer: &str, code: u16) -> Result<Phase, Unreadable> {
    match code {
        404 | 410 => return Ok(Phase::Missing),
        400.. => return Ok(Phase::Refused),
        _ => {}
    }
    match document.pointer(pointer).and_then(Value::as_str).filter(|word| !word.trim().is_empty()) {
        Some(word) if TERMINAL.contains(&word.to_lowercase().as_str()) => Ok(Phase::Terminal),
        Some(_) => Ok(Phase::Live),
        None if !document.is_object() || document.get("error").is_some_and(|error| !error.is_null()) => {
            Err(Unreadable::NoState)
        }
        None => Ok(Phase::Live),
    }
}

/// Whether a document has ids, none of which is `t`.
fn names_another(document: &Value) -> bool {
    let ids = ["id", "task_id"].map(|name| &document[name]);
    let is_id = |id: &&Value| id.is_number() || id.as_str().is_some_and(|id| !id.is_empty());
    ids.iter().any(is_id) && !ids.contains(&&Value::from("t"))
}

fn judge(pointer: &str) -> Judge {
    Judge::new(&settings(pointer))
}

fn settings(pointer: &str) -> config::Upstream {
    let variables = [
        ("LEMONDATA_API_KEY", "sk-0123456789"),
        ("TASKGATE_ACCESS__MODE", "open"),
        ("TASKGATE_UPSTREAM__STATUS_POINTER", pointer),
    ];
    let env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    config::load(&Sources { file: None, env }).unwrap().upstream
}

/// Whether the text is one JSON value, with only whitespace around it.
fn is_json(text: &[u8]) -> bool {
    let mut rest = text;
    // The closing brackets that the open ones need, innermost last.
    let mut open = Vec::new();
    let mut expected = Expected::Value;
    loop {
        while let [b' ' | b'\t' | b'\n' | b'\r', after @ ..] = rest {
            rest = after;
        }
        let Some(first) = rest.first() else { return matches!(expected, Expected::End) };
        let token = match first {
            b'"' => string(rest),
            b'-' | b'0'..=b'9' => number(rest),
            b't' => rest.starts_with(b"true").then_some(4),
            b'f' => rest.starts_with(b"false").then_some(5),
            b'n' => rest.starts_with(b"null").then_some(4),
            _ => Some(1),
        };
        let Some(length) = token else { return false };
        let after_value = |open: &[u8]| if open.is_empty() { Expected::End } else { Expected::CommaOrClose };
        expected = match (expected, first) {
            (Expected::Value | Expected::ValueOrClose, b'[') => {
                open.push(b']');
                Expected::ValueOrClose
            }
            (Expected::Value | Expected::ValueOrClose, b'{') => {
                open.push(b'}');
                Expected::NameOrClose
            }
            (Expected::ValueOrClose | Expected::NameOrClose | Expected::CommaOrClose, b']' | b'}')
                if open.last() == Some(first) =>
            {
                open.pop();
                after_value(&open)
            }
            (Expected::Name | Expected::NameOrClose, b'"') => Expected::Colon,
            (Expected::Colon, b':') => Expected::Value,
            (Expected::CommaOrClose, b',') if open.last() == Some(&b'}') => Expected::Name,
            (Expected::CommaOrClose, b',') => Expected::Value,
            (Expected::Value | Expected::ValueOrClose, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                after_value(&open)
            }
            _ => return false,
        };
        rest = &rest[length..];
    }
}

#[derive(Clone, Copy)]
enum Expected {
    Value,
    ValueOrClose,
    Name,
    NameOrClose,
    Colon,
    CommaOrClose,
    End,
}

/// The length of the string at the beginning of the text.
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return None,
            },
            0..0x20 => return None,
            _ => 1,
        };
    }
}

/// The length of the number at the beginning of the text.
fn number(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text[0] == b'-');
    at += match digits(at) {
        0 => return None,
        _ if text[at] == b'0' => 1,
        some => some,
    };
    if text.get(at) == Some(&b'.') {
        at += 1 + Some(digits(at + 1)).filter(|some| *some > 0)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at += Some(digits(at)).filter(|some| *some > 0)?;
    }
    Some(at)
}
