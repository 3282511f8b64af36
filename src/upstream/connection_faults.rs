//! Owns the log lines about failed connections: the first is logged at once, then one a minute as long as
//! attempts fail with the same cause.

use parking_lot::Mutex;
use std::error::Error;
use std::fmt;
use std::io;

use tokio::time::{Duration, Instant};

use crate::core::cause;
use crate::core::task::TaskKey;

const REMINDER: Duration = Duration::from_secs(60);

/// The cause logged last, and its time.
#[derive(Debug, Default)]
pub(super) struct ConnectionFaults {
    told: Mutex<Option<(String, Instant)>>,
}

impl ConnectionFaults {
    /// Logs a failed attempt: as a warning if its cause is news, else at level debug.
    pub(super) fn tell(&self, task: &TaskKey, error: &reqwest::Error) {
        let cause = Causes(error).to_string();
        if self.is_news(&cause, Instant::now()) {
            let hint = "no answer from the upstream: check upstream.base_url and the network";
            cause::log(|| tracing::warn!(%task, %cause, "{hint}"));
        } else {
            cause::log(|| tracing::debug!(%task, %cause, "no answer from the upstream"));
        }
    }

    fn is_news(&self, cause: &str, now: Instant) -> bool {
        let mut told = self.told.lock();
        let known = told.as_ref().is_some_and(|(last, at)| last == cause && now - *at < REMINDER);
        if !known {
            *told = Some((cause.to_owned(), now));
        }
        !known
    }
}

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
struct Causes<'e>(&'e reqwest::Error);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_is_news_once_a_minute() {
        let faults = ConnectionFaults::default();
        let start = Instant::now();
        assert!(faults.is_news("refused", start));
        assert!(!faults.is_news("refused", start + Duration::from_secs(59)));
        assert!(faults.is_news("refused", start + Duration::from_secs(60)));
        assert!(faults.is_news("bad certificate", start + Duration::from_secs(61)));
    }
}
