//! Owns the counters of what the shared tier costs and brings.

use tokio::time::Duration;

use crate::core::metric::{Counter, Histogram};

/// The bounds of [`Counters::latency`].
const LATENCY: &[Duration] = &[
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
];

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Begin,
    Renew,
    Land,
    Forget,
    Read,
    Look,
}

/// The counters since the start.
#[derive(Debug)]
pub struct Counters {
    /// The calls of each kind: answered, failed, timed out.
    calls: [[Counter; 3]; 6],
    /// The durations of calls, those that timed out included.
    pub latency: Histogram,
    /// States that another replica had fetched.
    pub taken: Counter,
    /// States that did not verify, and were not believed.
    pub unverified: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            calls: Default::default(),
            latency: Histogram::new(LATENCY),
            taken: Counter::default(),
            unverified: Counter::default(),
        }
    }
}

impl Counters {
    /// The number of calls, by kind and outcome.
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let kinds = ["begin", "renew", "land", "forget", "read", "look"].into_iter().zip(&self.calls);
        kinds.flat_map(|(kind, outcomes)| {
            let named = ["ok", "error", "timeout"].into_iter().zip(outcomes);
            named.map(move |(outcome, count)| (kind, outcome, count.get()))
        })
    }

    pub(super) fn answered(&self, call: Call) {
        self.calls[call as usize][0].add();
    }

    pub(super) fn failed(&self, call: Call) {
        self.calls[call as usize][1].add();
    }

    pub(super) fn timed_out(&self, call: Call) {
        self.calls[call as usize][2].add();
    }
}
