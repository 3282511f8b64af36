//! Owns the reading of reqwest's errors: whether a connection was dead, and why there was none.

use std::error::Error;
use std::fmt;
use std::io;

/// Whether the connection was closed before its answer: not refused, not timed out, no malformed answer.
pub(super) fn is_dead_connection(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
            );
        }
        cause = error.source();
    }
    false
}

/// The causes of an error, without reqwest's own text, which only repeats the URL.
pub(super) struct Causes<'e>(pub(super) &'e reqwest::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.0.source();
        if cause.is_none() {
            return f.write_str("the request failed");
        }
        let mut separator = "";
        while let Some(error) = cause {
            write!(f, "{separator}{error}")?;
            separator = ": ";
            cause = error.source();
        }
        Ok(())
    }
}
