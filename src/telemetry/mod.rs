//! Owns the log, and the names, help texts and format of the metrics.

pub mod exposition;
pub mod log;
pub mod log_writer;
pub mod metrics;
pub mod process;
