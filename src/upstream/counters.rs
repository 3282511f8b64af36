//! Owns the counters of requests to the upstream: each attempt counts once, by its kind and its result.

use std::array;
use std::sync::Arc;

use http::StatusCode;
use tokio::time::{Duration, Instant};

use crate::core::metric::{Counter, Histogram};

/// The purpose of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum AttemptKind {
    Fetch,
    /// The second attempt of a fetch, after a dead connection.
    Retry,
    Cancel,
    /// The opening of a content, up to its head. One whose client leaves before counts as timed out.
    Open,
}

const KINDS: [&str; 4] = ["fetch", "retry", "cancel", "open"];
/// The status codes of HTTP. All others count together, as [`ODD`].
const CODES: std::ops::Range<u16> = 100..600;
const ODD: usize = (CODES.end - CODES.start) as usize;
const UNREACHABLE: usize = ODD + 1;
const TIMEOUT: usize = ODD + 2;
const ENDS: usize = ODD + 3;

/// The bounds of the latency histogram: usual durations of a status request, up to the default of
/// `upstream.timeout`.
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

/// The counters of all attempts. An attempt adds itself when it ends.
#[derive(Debug)]
pub struct UpstreamCounters {
    ends: Box<[[Counter; ENDS]; KINDS.len()]>,
    /// From the start of an attempt to the last byte of its answer, its failure or its timeout.
    pub latency: Histogram,
}

impl Default for UpstreamCounters {
    fn default() -> Self {
        let ends = Box::new(array::from_fn(|_| array::from_fn(|_| Counter::default())));
        Self { ends, latency: Histogram::new(LATENCIES) }
    }
}

impl UpstreamCounters {
    /// The counts above zero, by kind and by result: a status code, `other`, `unreachable` or `timeout`.
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

/// One attempt under way. One that is dropped before its end has timed out: nothing else drops it early.
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

    /// Ends the attempt with an answer, read as far as it is needed.
    pub(super) fn answered(mut self, status: StatusCode) {
        let code = status.as_u16();
        self.end = if CODES.contains(&code) { usize::from(code - CODES.start) } else { ODD };
    }

    /// Ends the attempt without a complete answer.
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
