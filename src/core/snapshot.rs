//! Owns one immutable answer of the upstream.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::time::{Duration, Instant};

use super::{hex, sha256};

/// The phase of a task in one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The task runs, or its status is not among the terminal ones of the settings.
    Live,
    /// The task has a terminal status and will not change again.
    Terminal,
    /// 404 or 410: the task is gone, or not there yet.
    Missing,
    /// Another 4xx: the upstream refuses the request, which tells nothing about the task.
    Refused,
}

impl Phase {
    /// Whether the answer describes the task.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Live | Self::Terminal)
    }
}

/// One answer of the upstream, complete and classified. The body is shared: a hit does not copy it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The upstream's status code.
    pub status: StatusCode,
    /// The content type, the only header of the upstream that is kept.
    pub content_type: HeaderValue,
    /// The body, byte for byte.
    pub body: Bytes,
    /// A strong entity tag of the body (RFC 9110, 8.8.3), quotes included.
    pub etag: HeaderValue,
    /// The time at which the last byte had arrived.
    pub fetched: Instant,
    /// The phase of the task.
    pub phase: Phase,
    /// The task's status in the upstream's words, where the answer has one, cut to a length that fits into a
    /// line.
    pub word: Option<Box<str>>,
    /// The wait that a live answer asks for.
    pub retry_after: Option<Duration>,
    /// The time for which the results can still be had, counted from `fetched`, if the answer states it.
    pub result_lifetime: Option<Duration>,
    /// The number by which replicas order the states of a task; 0 for one that was fetched alone.
    pub sequence: u64,
    /// The hints of the answer at the end of the task. Boxed: most states are finished.
    pub hints: Option<Box<Hints>>,
}

/// Hints of an answer that may help to foretell the end of its task. The upstream may send nonsense: nothing but the
/// time of the next look depends on it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hints {
    /// The time since the creation of the task, counted to `fetched`. Zero if the creation lies in the future.
    pub age: Option<Duration>,
    /// The model that works on the task, cut to a bounded length.
    pub model: Option<Box<str>>,
    /// The progress in percent, as told.
    pub progress: Option<f32>,
}

impl Snapshot {
    /// Makes a snapshot of a classified answer, and computes the entity tag.
    pub fn new(
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
        fetched: Instant,
        phase: Phase,
    ) -> Self {
        let etag = entity_tag(&body);
        Self {
            status,
            content_type,
            body,
            etag,
            fetched,
            phase,
            word: None,
            retry_after: None,
            result_lifetime: None,
            sequence: 0,
            hints: None,
        }
    }
}

/// The body without its byte order mark, which JSON should not have, and some servers send.
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
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
