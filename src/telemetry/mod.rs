//! Owns the set-up of the log, and the names, help texts and format of the metrics.

pub mod exposition;
pub mod metrics;
pub mod process;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;

use crate::config::{Log, LogFormat};

/// Writes the log to standard error from now on. A second call in one process changes nothing.
pub fn start_logs(settings: &Log) {
    let filter = EnvFilter::new(&settings.filter);
    let builder = SubscriberBuilder::default().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match settings.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
}
