//! Owns the failures of upstream requests, and the scope of each: the account, the upstream or one task.

use thiserror::Error;
use tokio::time::Duration;

/// The longest wait that the upstream can impose.
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// A failure of an upstream request. It holds no text from the upstream, so it can be shown to every client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Failure {
    /// 401: the upstream rejects the API key.
    #[error("the upstream rejected the gateway's API key")]
    KeyRejected,
    /// 402: the account has no quota or balance left.
    #[error("the upstream account has no quota or balance left")]
    QuotaExhausted,
    /// 429: the rate limit of the upstream is reached.
    #[error("the upstream's rate limit is reached")]
    RateLimited {
        /// The wait in `Retry-After`; `None` where the header is absent, past or unreadable.
        retry_after: Option<Duration>,
    },
    /// An answer that is not the status of the task: not JSON, too large, a redirect, another task's.
    #[error("the upstream sent something that is not the status of this task")]
    InvalidResponse {
        /// The status code of the answer.
        status: u16,
    },
    /// A 4xx other than 404 and 410: the upstream refuses the request for this task.
    #[error("the upstream refused the request for this task")]
    Refused {
        /// The status code.
        status: u16,
    },
    /// 5xx: the upstream reports an error of its own.
    #[error("the upstream reported an error of its own")]
    ServerError {
        /// The status code.
        status: u16,
        /// The wait that it asks for; `None` where it asks for none.
        retry_after: Option<Duration>,
    },
    /// The connection was refused, reset or cut off, or the host does not exist.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// No complete answer came within `upstream.timeout`.
    #[error("the upstream did not answer in time")]
    TimedOut,
}

/// The scope of a failure: the requests that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All requests with the API key: the gate closes.
    Account,
    /// All requests, once several tasks fail in a row; until then those for the one task.
    Service,
    /// The requests for the one task.
    Task,
}

impl Failure {
    /// The scope of the failure.
    pub fn scope(&self) -> Scope {
        match self {
            Self::KeyRejected | Self::QuotaExhausted | Self::RateLimited { .. } => Scope::Account,
            Self::ServerError { .. } | Self::Unreachable | Self::TimedOut => Scope::Service,
            Self::InvalidResponse { .. } | Self::Refused { .. } => Scope::Task,
        }
    }

    /// Whether the upstream turns the key away, or its account.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::KeyRejected | Self::QuotaExhausted)
    }

    /// The wait that the upstream asks for, where it does, at most [`MAX_WAIT`].
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::ServerError { retry_after, .. } => {
                retry_after.map(|wait| wait.min(MAX_WAIT))
            }
            Self::KeyRejected
            | Self::QuotaExhausted
            | Self::InvalidResponse { .. }
            | Self::Refused { .. }
            | Self::Unreachable
            | Self::TimedOut => None,
        }
    }

    /// The upstream's status code, where one was received.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::KeyRejected => Some(401),
            Self::QuotaExhausted => Some(402),
            Self::RateLimited { .. } => Some(429),
            Self::InvalidResponse { status }
            | Self::Refused { status }
            | Self::ServerError { status, .. } => Some(*status),
            Self::Unreachable | Self::TimedOut => None,
        }
    }
}
