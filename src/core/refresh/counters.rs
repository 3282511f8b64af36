//! Owns what the refreshing counts.

use tokio::time::Duration;

use crate::core::metric::{Counter, Gauge, Histogram};

/// From the end of a task to the last who waited for it.
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

/// The counters of the refreshing.
#[derive(Debug)]
pub struct CoreCounters {
    /// 429s of the upstream to a refresh.
    pub rate_limited: Counter,
    /// Those of them that nobody was told of: there was a state to stand in, or nobody waited.
    pub absorbed: Counter,
    /// Clients turned away because too many tasks had interest.
    pub too_many_tasks: Counter,
    /// Long-polls, and tasks of streams, that are waiting just now.
    pub watchers: Gauge,
    /// From the landing of a terminal state to the last client that had waited for it.
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
