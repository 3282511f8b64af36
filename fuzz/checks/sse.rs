//! Checks the encoder of server-sent events: a browser reads back exactly the body of the upstream, and no
//! other field.
//!
//! The decoder below is written from the HTML standard (9.2.6, "Interpreting an event stream").

use taskgate::http::sse;

/// An event as `EventSource` dispatches it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

/// The combinations of event name and id that the gateway sends: for a state, a failure, and the end.
const FIELDS: [(Option<&str>, Option<&[u8]>); 3] =
    [(None, Some(b"\"0123456789abcdef\"")), (Some("trouble"), None), (Some("gone"), Some(b"gone"))];

/// `data` is the body of the upstream.
pub fn check(data: &[u8]) {
    let joined = String::from_utf8_lossy(data).replace("\r\n", "\n").replace('\r', "\n");
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    let mut last_id = String::new();
    for (name, id) in FIELDS {
        let event = sse::event(name, id, data);
        assert_eq!(event.slice(event.len() - 2..), "\n\n", "an event ends where the next one begins");
        stream.extend_from_slice(&event);
        // A comment and a `retry` field may stand between two events.
        stream.extend_from_slice(b":\n\nretry: 1000\n\n");
        if let Some(id) = id {
            last_id = String::from_utf8(id.to_vec()).unwrap();
        }
        expected.push(Event {
            name: name.unwrap_or("message").to_owned(),
            id: last_id.clone(),
            data: joined.clone(),
        });
    }
    assert_eq!(decode(&stream), expected);
}

fn decode(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream);
    let (mut events, mut event) = (Vec::new(), Event::default());
    for line in lines(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                // The id lasts beyond its event; data and name do not.
                let next = Event { id: event.id.clone(), ..Event::default() };
                let mut done = std::mem::replace(&mut event, next);
                if done.data.pop().is_some() {
                    if done.name.is_empty() {
                        "message".clone_into(&mut done.name);
                    }
                    events.push(done);
                }
            }
            "event" => value.clone_into(&mut event.name),
            "data" => event.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => value.clone_into(&mut event.id),
            // Comments and `retry`, which `EventSource` does not dispatch.
            _ => assert!(line == ":" || line == "retry: 1000", "a field that nobody wrote: {line:?}"),
        }
    }
    events
}

/// The lines of a stream, each of which ends with CRLF, LF or CR.
fn lines(mut rest: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    while let Some(at) = rest.find(['\r', '\n']) {
        lines.push(&rest[..at]);
        rest = rest[at..].strip_prefix("\r\n").unwrap_or(&rest[at + 1..]);
    }
    assert_eq!(rest, "", "the stream ends inside a line");
    lines
}
