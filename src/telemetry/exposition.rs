//! Owns the text that Prometheus reads (exposition format 0.0.4).
//!
//! Written out here and not by a crate: the one that is typed keeps its histograms behind a lock, and writes
//! `OpenMetrics` alone, which readers of this format take for counters without a type.

use std::fmt::{self, Write as _};

/// What is known of a metric beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// How a metric is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until a restart.
    Counter,
    /// How things stand.
    Gauge,
    /// How often something was how large.
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

/// One metric on the page, to which its samples are added.
pub struct Family<'p> {
    page: &'p mut String,
    metric: &'static Metric,
}

impl Page {
    /// Begins a metric.
    pub fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        let Metric { name, kind, help, .. } = metric;
        // Writing into memory does not fail.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
        Family { page: &mut self.0, metric }
    }

    /// A metric without labels.
    pub fn single(&mut self, metric: &'static Metric, value: impl fmt::Display) {
        self.family(metric).sample(&[], value);
    }

    /// The page as text.
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds a sample. `labels` are the values, in the order of the names; none of them comes from a client.
    pub fn sample(&mut self, labels: &[&str], value: impl fmt::Display) {
        self.page.push_str(self.metric.name);
        for (number, (name, value)) in self.metric.labels.iter().zip(labels).enumerate() {
            let _ = write!(self.page, "{}{name}=\"{value}\"", if number == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.page, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Adds a histogram: upper bounds, how many fell between each and the one before, and the sum.
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
