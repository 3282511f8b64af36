//! Owns one immutable answer of the upstream.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::time::{Duration, Instant};

use super::{hex, sha256};

/// What an answer says about its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Under way, or in a state nobody declared terminal.
    Live,
    /// In a terminal status: it will not change again.
    Terminal,
    /// A 4xx: gone, not yet there, or not to be seen.
    Missing,
}

/// One answer of the upstream, complete and judged. Shared by `Arc`; a hit copies no body.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The upstream's status code.
    pub status: StatusCode,
    /// The one header kept of the upstream's.
    pub content_type: HeaderValue,
    /// The upstream's bytes.
    pub body: Bytes,
    /// A strong entity tag of the bytes (RFC 9110, 8.8.3), quotes included.
    pub etag: HeaderValue,
    /// When the last byte had arrived.
    pub fetched: Instant,
    /// What it says about the task.
    pub phase: Phase,
    /// The word it has for the task's status, where it has one; cut to a length that a line can hold.
    pub word: Option<Box<str>>,
    /// How long the result's URL still works, counted from `fetched`; zero where it is dead already.
    pub result_lifetime: Option<Duration>,
}

impl Snapshot {
    /// Takes an answer that has been judged, and tags it.
    pub fn new(
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
        fetched: Instant,
        phase: Phase,
    ) -> Self {
        let etag = entity_tag(&body);
        Self { status, content_type, body, etag, fetched, phase, word: None, result_lifetime: None }
    }
}

/// 128 bits of SHA-256 in hex: equal tags mean equal bytes, on every replica and after a restart.
fn entity_tag(body: &[u8]) -> HeaderValue {
    let mut tag = [b'"'; 34];
    hex::write(sha256::hash(body), &mut tag[1..33]);
    HeaderValue::from_bytes(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_of_the_bytes() {
        assert_eq!(entity_tag(b""), "\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_ne!(entity_tag(b"{\"a\":1}"), entity_tag(b"{\"a\": 1}"));
    }
}
