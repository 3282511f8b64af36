//! Owns the kinds of metrics: counter, gauge and histogram. Plain atomics, one relaxed addition each.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count since the start.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and shrinks.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one off.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The present number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The distribution of durations.
#[derive(Debug)]
pub struct Histogram {
    /// The upper bounds of the buckets, rising. One more bucket counts the durations above the last bound.
    bounds: &'static [Duration],
    counts: Box<[Counter]>,
    sum_us: AtomicU64,
}

/// The values of a histogram at one moment.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The upper bounds of the buckets, in seconds.
    pub bounds: Vec<f64>,
    /// The count of each bucket, not cumulative: one more than there are bounds.
    pub counts: Vec<u64>,
    /// The sum of all durations, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// An empty histogram with these upper bounds, which must rise.
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum_us: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn observe(&self, span: Duration) {
        let place = self.bounds.iter().position(|bound| span <= *bound).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(place) {
            count.add();
        }
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// The present values.
    pub fn read(&self) -> Distribution {
        Distribution {
            bounds: self.bounds.iter().map(Duration::as_secs_f64).collect(),
            counts: self.counts.iter().map(Counter::get).collect(),
            sum: self.sum_us.load(Ordering::Relaxed) as f64 / 1e6,
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
        let read = histogram.read();
        assert_eq!((read.counts, read.bounds), (vec![2, 2, 1], vec![1.0, 2.0]));
        assert!((read.sum - 6.002).abs() < 1e-9);
    }
}
