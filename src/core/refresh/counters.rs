//! Owns the counters of the core.

use tokio::time::Duration;

use crate::core::metric::{Counter, Gauge, Histogram};

/// The bounds of [`CoreCounters::last_watcher`].
const LAST_WATCHER: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// The counters of the core since the start.
#[derive(Debug)]
pub struct CoreCounters {
    /// 429 answers of the upstream to refreshes.
    pub rate_limited: Counter,
    /// Those 429 answers that no client saw: a state could stand in, or no client waited.
    pub absorbed: Counter,
    /// Clients refused because too many tasks had interest.
    pub too_many_tasks: Counter,
    /// Watches at present: long-polls, and tasks of streams.
    pub watchers: Gauge,
    /// The time from the landing of a terminal state to the departure of the last client that had waited for
    /// it.
    pub last_watcher: Histogram,
}

impl Default for CoreCounters {
    fn default() -> Self {
        Self {
            rate_limited: Counter::default(),
            absorbed: Counter::default(),
            too_many_tasks: Counter::default(),
            watchers: Gauge::default(),
            last_watcher: Histogram::new(LAST_WATCHER),
        }
    }
}
