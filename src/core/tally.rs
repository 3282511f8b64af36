//! Owns what the core counts: plain atomics, one relaxed addition each, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of things that are there just now.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// One has come.
    pub fn rise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One of those has gone.
    pub fn fall(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often a span of time was how long.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, rising; what is longer than all of them has a place of its own.
    bounds: &'static [Duration],
    counts: Box<[Counter]>,
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Upper bounds in seconds.
    pub bounds: Vec<f64>,
    /// How many fell between one bound and the one before; one more than there are bounds.
    pub counts: Vec<u64>,
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum_us: AtomicU64::new(0) }
    }

    /// Counts one.
    pub fn observe(&self, span: Duration) {
        let place = self.bounds.iter().position(|bound| span <= *bound).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(place) {
            count.add();
        }
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn read(&self) -> Reading {
        Reading {
            bounds: self.bounds.iter().map(Duration::as_secs_f64).collect(),
            counts: self.counts.iter().map(Counter::get).collect(),
            sum: self.sum_us.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }
}

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

/// What the desk counts.
#[derive(Debug)]
pub struct Tally {
    /// 429s of the upstream to a refresh.
    pub rate_limited: Counter,
    /// Those of them that nobody was told of: there was a state to stand in, or nobody waited.
    pub absorbed: Counter,
    /// Clients turned away because too many tasks had interest.
    pub too_many_tasks: Counter,
    /// Long-polls, and tasks of streams, that are waiting just now.
    pub watchers: Level,
    /// From the landing of a terminal state to the last client that had waited for it.
    pub last_watcher: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            rate_limited: Counter::default(),
            absorbed: Counter::default(),
            too_many_tasks: Counter::default(),
            watchers: Level::default(),
            last_watcher: Histogram::new(LAST_WATCHER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        const BOUNDS: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(2)];
        let histogram = Histogram::new(BOUNDS);
        for millis in [0, 1000, 1001, 2000, 2001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let reading = histogram.read();
        assert_eq!((reading.counts, reading.bounds), (vec![2, 2, 1], vec![1.0, 2.0]));
        assert!((reading.sum - 6.002).abs() < 1e-9);
    }
}
