//! Checks `Prefer` (RFC 7240, 2) and `Accept` (RFC 9110, 12.5.1) of a request: where the fields have the form that
//! their grammar gives them, the gateway waits, streams or answers at once as a reader of the grammar would say.
//!
//! The task has ended, so that a wait is over at once: `Preference-Applied` tells how long it may have been.

use std::sync::LazyLock;

use super::gateway::{Fixture, Reply, start};

static GATEWAY: LazyLock<Fixture> = LazyLock::new(|| {
    let body = r#"{"status":"completed"}"#;
    start(move |_| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
});

/// `polling.max_wait`, in seconds.
const MAX_WAIT: u64 = 50;

/// `data` holds a field a line: of `Accept` where it begins with `@`, else of `Prefer`.
pub fn check(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(8).collect();
    let mut request = b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".to_vec();
    let (mut prefer, mut accept) = (Vec::new(), Vec::new());
    for line in lines {
        if line.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return;
        }
        let (name, value, fields): (_, _, &mut Vec<_>) = match line.strip_prefix(b"@") {
            Some(value) => ("Accept", value, &mut accept),
            None => ("Prefer", line, &mut prefer),
        };
        request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        fields.push(list(value.trim_ascii()).filter(|_| name == "Prefer" || is_strict(value)));
    }
    request.extend_from_slice(b"\r\n");
    let bytes = GATEWAY.exchange(&[&request], false);
    let mut rest = bytes.as_slice();
    let reply = Reply::take(&mut rest, false);
    assert_eq!((reply.status, rest), (200, &b""[..]), "one answer");
    let applied = reply.header("preference-applied").map(|text| {
        text.strip_prefix("wait=")
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or_else(|| panic!("{text}"))
    });
    let is_stream = reply.header("content-type") == Some("text/event-stream");
    assert!(applied.is_none_or(|seconds: u64| (1..=MAX_WAIT).contains(&seconds)), "{applied:?}");
    assert!(!is_stream || applied.is_none(), "a stream waits for nothing");
    // A field that does not follow the grammar is read in one way or another, but is read as one of the above.
    let (Some(prefer), Some(accept)) = (whole(prefer), whole(accept)) else { return };
    let weight_is_zero = |(name, value): &Parameter| {
        let value = value.as_deref().unwrap_or_default();
        name.eq_ignore_ascii_case("q") && matches!(value, b"0" | b"0." | b"0.0" | b"0.00" | b"0.000")
    };
    let streams = accept.iter().any(|((kind, value), parameters)| {
        kind.eq_ignore_ascii_case("text/event-stream")
            && value.is_none()
            && !parameters.iter().any(weight_is_zero)
    });
    assert_eq!(is_stream, streams);
    let wait = prefer.iter().find(|((name, _), _)| name.eq_ignore_ascii_case("wait"));
    let seconds = wait.and_then(|((_, value), _)| seconds(value.as_deref()?)).filter(|seconds| *seconds > 0);
    assert_eq!(applied, seconds.filter(|_| !streams));
}

/// A name, and the value behind it.
type Parameter = (String, Option<Vec<u8>>);
type Element = (Parameter, Vec<Parameter>);

/// Whether an `Accept` has what its own grammar forbids: blanks around `=`, and a weight in quotes.
fn is_strict(field: &[u8]) -> bool {
    let field = field.to_ascii_lowercase();
    let holds = |wrong: &[u8]| field.windows(wrong.len()).any(|window| window == wrong);
    ![&b" ="[..], b"\t=", b"= ", b"=\t", b"q=\""].iter().any(|wrong| holds(wrong))
}

/// All fields as one list, if each follows the grammar.
fn whole(fields: Vec<Option<Vec<Element>>>) -> Option<Vec<Element>> {
    fields.into_iter().collect::<Option<Vec<_>>>().map(|fields| fields.concat())
}

fn seconds(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty())?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX).min(MAX_WAIT))
}

/// A list by its grammar, letter by letter; `None` where it does not follow it.
fn list(field: &[u8]) -> Option<Vec<Element>> {
    let mut rest = field;
    let mut elements = Vec::new();
    loop {
        skip_blanks(&mut rest);
        if !matches!(rest.first(), None | Some(b',')) {
            let first = parameter(&mut rest)?;
            let mut parameters = Vec::new();
            skip_blanks(&mut rest);
            while let Some(after) = rest.strip_prefix(b";") {
                rest = after;
                skip_blanks(&mut rest);
                if !matches!(rest.first(), None | Some(b',' | b';')) {
                    parameters.push(parameter(&mut rest)?);
                    skip_blanks(&mut rest);
                }
            }
            elements.push((first, parameters));
        }
        match rest.split_first() {
            None => return Some(elements),
            Some((b',', after)) => rest = after,
            Some(_) => return None,
        }
    }
}

fn parameter(rest: &mut &[u8]) -> Option<Parameter> {
    // The slash of a media range is the only letter that is in no token.
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(byte);
    let token = |rest: &mut &[u8]| {
        let length = rest.iter().take_while(|byte| is_token(byte)).count();
        let (token, after) = rest.split_at(length);
        *rest = after;
        (length > 0).then(|| token.to_vec())
    };
    let name = String::from_utf8(token(rest)?).ok()?;
    let mut after = *rest;
    skip_blanks(&mut after);
    let Some(value) = after.strip_prefix(b"=") else { return Some((name, None)) };
    *rest = value;
    skip_blanks(rest);
    let Some(quoted) = rest.strip_prefix(b"\"") else { return token(rest).map(|value| (name, Some(value))) };
    *rest = quoted;
    let mut value = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        match byte {
            b'"' => return Some((name, Some(value))),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                *rest = after;
                value.push(*escaped);
            }
            byte => value.push(*byte),
        }
    }
}

fn skip_blanks(rest: &mut &[u8]) {
    while let [b' ' | b'\t', after @ ..] = rest {
        *rest = after;
    }
}
