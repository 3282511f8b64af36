//! Owns the text of the metrics page: Prometheus' exposition format 0.0.4.
//!
//! No crate writes it: the typed one (prometheus-client) keeps its histograms behind a lock and writes only
//! `OpenMetrics`, whose counters have no type for readers of this format.

use std::fmt::{self, Write as _};

/// The static description of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows, until a restart.
    Counter,
    /// A present value.
    Gauge,
    /// Counts of observed values, by upper bounds.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page(String);

/// One metric on the page; its samples follow.
pub struct Family<'p> {
    page: &'p mut String,
    metric: &'static Metric,
}

impl Page {
    /// Begins a metric with its help text and type.
    pub fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        let Metric { name, kind, help, .. } = metric;
        // Writing to a `String` does not fail.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
        Family { page: &mut self.0, metric }
    }

    /// Adds a metric without labels.
    pub fn single(&mut self, metric: &'static Metric, value: impl fmt::Display) {
        self.family(metric).sample(&[], value);
    }

    /// The page as text.
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds a sample. `labels` are the labels' values, in the order of their names. They are not escaped, so
    /// none may come from a client.
    pub fn sample(&mut self, labels: &[&str], value: impl fmt::Display) {
        self.page.push_str(self.metric.name);
        for (number, (name, value)) in self.metric.labels.iter().zip(labels).enumerate() {
            let _ = write!(self.page, "{}{name}=\"{value}\"", if number == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.page, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Adds a histogram: the upper bounds, the count of values between each bound and the one before it, and
    /// the sum of all values.
    pub fn histogram(&mut self, bounds: &[f64], counts: &[u64], sum: f64) {
        let name = self.metric.name;
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut count = 0;
        for (bound, more) in bounds.zip(counts) {
            count += more;
            let _ = writeln!(self.page, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(self.page, "{name}_sum {sum}\n{name}_count {count}");
    }
}
