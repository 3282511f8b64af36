//! Owns what is counted of requests to the upstream: every attempt once, by its kind and what came of it.

use std::array;
use std::sync::Arc;

use http::StatusCode;
use tokio::time::{Duration, Instant};

use crate::core::metric::{Counter, Histogram};

/// What a request is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum AttemptKind {
    Fetch,
    /// The second attempt of a fetch, where a connection turned out dead.
    Retry,
    Cancel,
}

const KINDS: [&str; 3] = ["fetch", "retry", "cancel"];
/// HTTP's codes; whatever else a server makes up is one more.
const CODES: std::ops::Range<u16> = 100..600;
const ODD: usize = (CODES.end - CODES.start) as usize;
const UNREACHABLE: usize = ODD + 1;
const TIMEOUT: usize = ODD + 2;
const ENDS: usize = ODD + 3;

/// Around what a status request takes, up to the default `upstream.timeout`.
const LATENCIES: &[Duration] = &[
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// The counters.
#[derive(Debug)]
pub struct UpstreamCounters {
    ends: Box<[[Counter; ENDS]; 3]>,
    /// From the request's first byte to the answer's last, to the failure, or to the time-out.
    pub latency: Histogram,
}

impl Default for UpstreamCounters {
    fn default() -> Self {
        let ends = Box::new(array::from_fn(|_| array::from_fn(|_| Counter::default())));
        Self { ends, latency: Histogram::new(LATENCIES) }
    }
}

impl UpstreamCounters {
    /// Requests by kind and by code, `other`, `unreachable` or `timeout`: those that there were.
    pub fn requests(&self) -> Vec<(&'static str, String, u64)> {
        let mut seen = Vec::new();
        for (kind, ends) in KINDS.iter().zip(self.ends.iter()) {
            let words = CODES.map(|code| code.to_string());
            let words = words.chain(["other", "unreachable", "timeout"].map(str::to_owned));
            let counted = words.zip(ends).map(|(word, count)| (*kind, word, count.get()));
            seen.extend(counted.filter(|(.., count)| *count > 0));
        }
        seen
    }
}

/// One attempt under way. Dropped before its end it has timed out: nothing else ends one early.
pub(super) struct Attempt {
    counters: Arc<UpstreamCounters>,
    kind: AttemptKind,
    start: Instant,
    end: usize,
}

impl Attempt {
    pub(super) fn begin(counters: &Arc<UpstreamCounters>, kind: AttemptKind) -> Self {
        Self { counters: Arc::clone(counters), kind, start: Instant::now(), end: TIMEOUT }
    }

    /// The answer has come in, or as much of it as is wanted.
    pub(super) fn answered(mut self, status: StatusCode) {
        let code = status.as_u16();
        self.end = if CODES.contains(&code) { usize::from(code - CODES.start) } else { ODD };
    }

    /// There was no answer, or it broke off.
    pub(super) fn failed(mut self) {
        self.end = UNREACHABLE;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(count) = self.counters.ends[self.kind as usize].get(self.end) {
            count.add();
        }
        self.counters.latency.observe(self.start.elapsed());
    }
}
