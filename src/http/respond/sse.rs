//! Owns the wire form of server-sent events (HTML standard, 9.2.5).

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::{Buf as _, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};

use crate::http::headers::X_ACCEL_BUFFERING;

/// Larger events are written in chunks of this size, so that many streams share one body, in bytes.
const CHUNK: usize = 16 * 1024;

/// An event: its bytes, made as they are written.
///
/// The data may be any bytes. They are split at CR, LF and CRLF, as the standard asks, and the client joins the lines
/// with LF.
#[derive(Debug)]
pub struct Event {
    out: BytesMut,
    data: VecDeque<Bytes>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// A line of data begins.
    Line,
    /// Within a line of data.
    Within,
    /// A line has ended with CR: an LF that follows belongs to it.
    AfterCr,
    /// Everything is written.
    Done,
}

impl Event {
    /// An event whose data are these pieces, one after the other.
    pub fn new(name: Option<&str>, id: Option<&[u8]>, data: impl IntoIterator<Item = Bytes>) -> Self {
        let mut out = BytesMut::new();
        if let Some(name) = name {
            field(&mut out, b"event", name.as_bytes());
        }
        if let Some(id) = id {
            field(&mut out, b"id", id);
        }
        Self { out, data: data.into_iter().collect(), stage: Stage::Line }
    }

    /// Bytes that are an event already, or a comment.
    pub(in crate::http) fn written(bytes: Bytes) -> Self {
        Self { out: BytesMut::new(), data: VecDeque::from([bytes]), stage: Stage::Done }
    }

    /// All of it in one piece.
    pub(in crate::http) fn whole(mut self) -> Bytes {
        let first = self.next().unwrap_or_default();
        let rest: Vec<Bytes> = self.collect();
        if rest.is_empty() {
            return first;
        }
        let mut whole = BytesMut::from(first);
        for chunk in &rest {
            whole.extend_from_slice(chunk);
        }
        whole.freeze()
    }

    /// The beginning of a line of data, where one is due.
    fn begin_line(&mut self) {
        if self.stage != Stage::Within {
            self.out.put_slice(b"data: ");
            self.stage = Stage::Within;
        }
    }
}

impl Iterator for Event {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.stage == Stage::Done {
            return self.data.pop_front();
        }
        while self.out.len() < CHUNK {
            let Some(piece) = self.data.front_mut() else {
                if self.stage == Stage::AfterCr {
                    self.stage = Stage::Line;
                }
                self.begin_line();
                self.out.put_slice(b"\n\n");
                self.stage = Stage::Done;
                break;
            };
            if self.stage == Stage::AfterCr {
                if piece.first() == Some(&b'\n') {
                    piece.advance(1);
                }
                self.stage = Stage::Line;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let line = piece.split_to(end.unwrap_or(piece.len()));
            let ending = end.map(|_| piece.split_to(1));
            if piece.is_empty() {
                self.data.pop_front();
            }
            if ending.is_some() || !line.is_empty() {
                self.begin_line();
            }
            if line.len() > CHUNK {
                // Shared, not copied. What stands before it goes first.
                let shared = line.clone();
                if let Some(ending) = ending {
                    self.data.push_front(ending);
                }
                if self.out.is_empty() {
                    return Some(shared);
                }
                self.data.push_front(shared);
                return Some(self.out.split().freeze());
            }
            self.out.put_slice(&line);
            if let Some(ending) = ending {
                self.out.put_u8(b'\n');
                self.stage = if ending == "\r" { Stage::AfterCr } else { Stage::Line };
            }
        }
        Some(self.out.split().freeze())
    }
}

/// A small event, in one piece.
pub fn event(name: Option<&str>, id: Option<&[u8]>, data: &[u8]) -> Bytes {
    Event::new(name, id, [Bytes::copy_from_slice(data)]).whole()
}

fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_u8(b'\n');
}

/// A comment without text: it keeps proxies and clients from taking an idle stream for dead.
pub(in crate::http) fn heartbeat() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// Sets the client's reconnection time to a random 1 to 5 s, so that clients do not reconnect all at once.
pub(in crate::http) fn retry() -> Bytes {
    Bytes::from(format!("retry: {}\n\n", fastrand::u32(1000..5000)))
}

/// A stream of events as a response.
pub(in crate::http) fn response(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(events.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // no-transform: a proxy that compresses would hold events back (RFC 9110, 7.7).
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A stream that only tells the client to reconnect later.
pub(in crate::http) fn come_back() -> Response {
    response(stream::iter([heartbeat(), retry()]))
}

/// 204, after which an `EventSource` stops reconnecting: its client has seen the end.
pub(in crate::http) fn over() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> String {
        String::from_utf8(event(None, None, text.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn lines_of_every_kind_are_split() {
        assert_eq!(data("{}"), "data: {}\n\n");
        assert_eq!(data(""), "data: \n\n");
        assert_eq!(data("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
        assert_eq!(data("a\n"), "data: a\ndata: \n\n");
        assert_eq!(data("\n\r"), "data: \ndata: \ndata: \n\n");
        assert_eq!(data("\r\n"), "data: \ndata: \n\n");
    }

    #[test]
    fn large_data_are_shared_and_read_the_same() {
        for text in [
            "x".repeat(CHUNK * 3),
            format!("{}\r\n{}\n\n{}\r", "a".repeat(CHUNK + 1), "b".repeat(CHUNK * 2), "c".repeat(5)),
            "\n".repeat(CHUNK * 2),
            "\r\n".repeat(CHUNK),
            format!("{}\r", "a".repeat(CHUNK * 2)),
        ] {
            let expected = text.replace("\r\n", "\n").replace('\r', "\n");
            let whole = Bytes::from(text);
            for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
                let parts = [whole.slice(..cut), whole.slice(cut..)];
                let chunks: Vec<Bytes> = Event::new(None, None, parts).collect();
                let is_shared = |chunk: &Bytes| whole.as_ptr_range().contains(&chunk.as_ptr());
                assert!(chunks.iter().all(|chunk| is_shared(chunk) || chunk.len() <= 2 * CHUNK + 16));
                let stream = String::from_utf8(chunks.concat()).unwrap();
                let lines: Vec<_> = stream.strip_suffix("\n\n").unwrap().split('\n').collect();
                let read: Vec<_> = lines.iter().map(|line| line.strip_prefix("data: ").unwrap()).collect();
                assert!(read.join("\n") == expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn names_and_ids_come_first() {
        let event = event(Some("gone"), Some(b"\"abc\""), b"{}");
        assert_eq!(event, "event: gone\nid: \"abc\"\ndata: {}\n\n");
    }

    #[test]
    fn no_data_can_forge_a_field() {
        let forged = data("x\n\nevent: done\rid: end\r\ndata: {}");
        assert!(forged.trim_end().lines().all(|line| line.starts_with("data: ")), "{forged}");
    }
}
