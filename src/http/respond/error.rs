//! Owns the gateway's own errors: their status, their code, and when to ask again.

use http::StatusCode;

use crate::core::answer::{Reason, Refusal};
use crate::core::failure::Failure;
use crate::core::task::PathFault;
use crate::core::ticket::TicketFault;
use crate::http::request_log::Code;

/// Why a request is not answered with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Error {
    Path(PathFault),
    MissingCredentials,
    InvalidCredentials(CredentialFault),
    TicketNotForTask,
    /// The ticket opens the task, but not for that.
    MayNotCancel,
    BodyNotAllowed,
    /// What is wrong with which parameter, and what to send instead.
    InvalidParameter(&'static str),
    /// Not exactly one `Host`.
    HostUnclear,
    HostNotAllowed(String),
    OriginNotAllowed(String),
    /// What only the dashboard's own page may do.
    ForeignPage,
    /// The admin listener is within reach of others, and nobody has a token.
    DashboardClosed,
    MethodNotAllowed {
        /// What `Allow` names.
        allowed: &'static str,
        /// Where tasks are created, for a client that tried to do that here.
        create_at: Option<String>,
    },
    /// The client has used up a limit of its own.
    ClientRateLimited {
        /// Seconds.
        retry_after: u64,
    },
    Refused(Refusal),
    /// A cancellation was not sent, or nobody knows what became of it.
    NotCancelled(Refusal),
}

/// A fault of the credentials that a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum CredentialFault {
    /// The upstream's key, which belongs on the server.
    UpstreamKey,
    /// Not in the token file.
    UnknownToken,
    /// A ticket that does not hold.
    Ticket(TicketFault),
    /// More than one `Authorization`.
    Several,
}

impl Error {
    /// Its HTTP status.
    pub(in crate::http) fn status(&self) -> StatusCode {
        match self {
            Self::Path(PathFault::UnknownRoute) => StatusCode::NOT_FOUND,
            Self::Path(PathFault::InvalidId)
            | Self::BodyNotAllowed
            | Self::InvalidParameter(_)
            | Self::HostUnclear => StatusCode::BAD_REQUEST,
            Self::MissingCredentials | Self::InvalidCredentials(_) => StatusCode::UNAUTHORIZED,
            Self::HostNotAllowed(_)
            | Self::OriginNotAllowed(_)
            | Self::ForeignPage
            | Self::DashboardClosed
            | Self::TicketNotForTask
            | Self::MayNotCancel => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ClientRateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(refusal) | Self::NotCancelled(refusal) => match refusal.reason {
                Reason::Budget | Reason::Upstream(Failure::RateLimited { .. }) => {
                    StatusCode::TOO_MANY_REQUESTS
                }
                Reason::Overloaded | Reason::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
                Reason::Upstream(Failure::TimedOut) => StatusCode::GATEWAY_TIMEOUT,
                Reason::Upstream(_) => StatusCode::BAD_GATEWAY,
            },
        }
    }

    /// Its code.
    pub(in crate::http) fn code(&self) -> Code {
        match self {
            Self::Path(PathFault::UnknownRoute) => Code::UnknownRoute,
            Self::Path(PathFault::InvalidId) => Code::InvalidTaskId,
            Self::MissingCredentials => Code::MissingCredentials,
            Self::InvalidCredentials(_) => Code::InvalidCredentials,
            Self::TicketNotForTask | Self::MayNotCancel => Code::TicketNotForTask,
            Self::BodyNotAllowed => Code::BodyNotAllowed,
            Self::InvalidParameter(_) => Code::InvalidParameter,
            Self::HostUnclear | Self::HostNotAllowed(_) => Code::HostNotAllowed,
            Self::OriginNotAllowed(_) | Self::ForeignPage => Code::OriginNotAllowed,
            Self::DashboardClosed => Code::DashboardClosed,
            Self::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Self::ClientRateLimited { .. } => Code::ClientRateLimited,
            Self::Refused(refusal) | Self::NotCancelled(refusal) => refusal.reason.into(),
        }
    }

    /// When to ask again, in seconds; `None` where waiting does not help.
    pub(in crate::http) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused(refusal) | Self::NotCancelled(refusal) => Some(refusal.retry_after),
            Self::ClientRateLimited { retry_after } => Some(*retry_after),
            Self::Path(_)
            | Self::MissingCredentials
            | Self::InvalidCredentials(_)
            | Self::TicketNotForTask
            | Self::MayNotCancel
            | Self::BodyNotAllowed
            | Self::InvalidParameter(_)
            | Self::HostUnclear
            | Self::HostNotAllowed(_)
            | Self::OriginNotAllowed(_)
            | Self::ForeignPage
            | Self::DashboardClosed
            | Self::MethodNotAllowed { .. } => None,
        }
    }
}
