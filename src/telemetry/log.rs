//! Owns the set-up of the log.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::SubscriberBuilder;

use super::log_writer::{LogGuard, LogWriter};
use crate::config::{Log, LogFormat};

/// Writes the log to standard error from now on, panics included. A second call in one process changes nothing.
pub fn start(settings: &Log) -> LogGuard {
    let (writer, guard) = LogWriter::start(std::io::stderr());
    let builder = SubscriberBuilder::default()
        .with_env_filter(EnvFilter::new(&settings.filter))
        .with_writer(move || writer.clone())
        // It would write to standard error itself, and panic where that is closed.
        .log_internal_errors(false);
    let started = match settings.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
    if started.is_ok() {
        // The default hook writes to standard error itself, and would wait for a reader that is stuck.
        std::panic::set_hook(Box::new(|panic| {
            let message = message(panic.payload());
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                tracing::error!(message, location, %backtrace, "a part of the program panicked");
            } else {
                tracing::error!(message, location, "a part of the program panicked; please report this");
            }
        }));
    }
    guard
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
