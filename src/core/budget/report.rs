//! Owns the lines of the log about the budget.

use tokio::time::Instant;

use super::Budget;
use super::gate::Change;
use crate::core::cause;
use crate::core::failure::Failure;

impl Budget {
    /// Logs a change that [`settle`](Self::settle) has returned. It is a function of its own, because a log
    /// may block and the caller settles under a lock.
    pub fn report(&self, change: Change, now: Instant) {
        if !matches!(change, Change::None) {
            cause::log(|| self.tell(change, now));
        }
    }

    fn tell(&self, change: Change, now: Instant) {
        match change {
            Change::None => {}
            Change::Opened { because } => {
                tracing::info!(after = %because, "the upstream answers again: requests resume");
            }
            Change::Closed { until, because } => {
                let wait = until.saturating_duration_since(now).as_secs();
                match because {
                    Failure::RateLimited { .. } => tracing::warn!(
                        wait_s = wait,
                        effective_per_minute = self.ledger().bucket.effective_per_minute(),
                        "429 from the upstream: all requests wait, then go on more slowly; if this comes \
                         back, other programs use the key: lower budget.share or \
                         budget.requests_per_minute until `share x requests_per_minute` is the \
                         effective rate"
                    ),
                    Failure::KeyRejected => tracing::error!(
                        retry_s = wait,
                        "the upstream rejected the API key: put a valid one into LEMONDATA_API_KEY or the \
                         key file; known states are still served"
                    ),
                    Failure::QuotaExhausted => tracing::error!(
                        retry_s = wait,
                        "the upstream account has no balance or quota left: top it up; known states are \
                         still served"
                    ),
                    other => tracing::warn!(retry_s = wait, cause = %other, "the upstream is down: one \
                         request a second finds out when it is back; known states are still served"),
                }
            }
        }
    }
}
