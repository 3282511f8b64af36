//! Owns the wire form of server-sent events (HTML standard, 9.2.5).

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderValue, StatusCode, header};
use std::convert::Infallible;

use crate::http::headers::X_ACCEL_BUFFERING;

/// One event. The data may be any bytes. They are split at CR, LF and CRLF, as the standard asks, and the
/// client joins the lines with LF.
pub fn event(name: Option<&str>, id: Option<&[u8]>, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 96);
    if let Some(name) = name {
        field(&mut out, b"event", name.as_bytes());
    }
    if let Some(id) = id {
        field(&mut out, b"id", id);
    }
    let mut rest = data;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        field(&mut out, b"data", line);
        rest = match after {
            [] => break,
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        };
    }
    out.put_u8(b'\n');
    out.freeze()
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
    use futures_util::StreamExt as _;
    let mut response = Response::new(Body::from_stream(events.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// A stream that only tells the client to reconnect later.
pub(in crate::http) fn come_back() -> Response {
    response(futures_util::stream::iter([retry()]))
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
