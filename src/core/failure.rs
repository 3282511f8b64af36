//! Owns the ways in which an upstream request fails, and whom each of them concerns.

use thiserror::Error;
use tokio::time::Duration;

/// Why there is no answer. Holds nothing the upstream wrote, so it can be shown to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Failure {
    /// 401: the upstream does not take the API key.
    #[error("the upstream rejected the gateway's API key")]
    KeyRejected,
    /// 402: the account has no means left.
    #[error("the upstream account has no quota or balance left")]
    QuotaExhausted,
    /// 429, with the wait it names, if that can be read.
    #[error("the upstream's rate limit is reached")]
    RateLimited {
        /// What `Retry-After` names; `None` where it is absent, past or unreadable.
        retry_after: Option<Duration>,
    },
    /// An answer that is no state of the task: not JSON, too large, a redirect, another task's.
    #[error("the upstream sent something that is not the status of this task")]
    InvalidResponse {
        /// The status code it came with.
        status: u16,
    },
    /// 5xx.
    #[error("the upstream reported an error of its own")]
    ServerError {
        /// The status code.
        status: u16,
    },
    /// Refused, reset, cut off, or no such host.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// No complete answer within `upstream.timeout`.
    #[error("the upstream did not answer in time")]
    TimedOut,
}

/// Whom a failure speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The API key, and so everything that uses it: the gate answers for it.
    Account,
    /// The upstream as a whole, when it befalls several tasks in a row; until then the one task.
    Service,
    /// The one task.
    Task,
}

impl Failure {
    /// Whom it speaks about.
    pub fn scope(&self) -> Scope {
        match self {
            Self::KeyRejected | Self::QuotaExhausted | Self::RateLimited { .. } => Scope::Account,
            Self::ServerError { .. } | Self::Unreachable | Self::TimedOut => Scope::Service,
            Self::InvalidResponse { .. } => Scope::Task,
        }
    }

    /// The upstream's status code, where one was received.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::KeyRejected => Some(401),
            Self::QuotaExhausted => Some(402),
            Self::RateLimited { .. } => Some(429),
            Self::InvalidResponse { status } | Self::ServerError { status } => Some(*status),
            Self::Unreachable | Self::TimedOut => None,
        }
    }
}
