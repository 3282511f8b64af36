//! Owns the gateway's own errors: their status, their code, and their `Retry-After`.

use http::StatusCode;

use crate::core::answer::{Reason, Refusal};
use crate::core::failure::Failure;
use crate::core::task::PathFault;
use crate::core::ticket::TicketFault;
use crate::http::request_log::Code;

/// The reason why a request is not answered with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Error {
    Path(PathFault),
    MissingCredentials,
    InvalidCredentials(CredentialFault),
    TicketNotForTask,
    /// The ticket allows reading the task, but not cancelling it.
    MayNotCancel,
    BodyNotAllowed,
    /// The text names the parameter, its fault, and a correct value.
    InvalidParameter(&'static str),
    /// The request has no valid `Host`, or several.
    HostUnclear,
    HostNotAllowed(String),
    OriginNotAllowed(String),
    /// A page of another origin asks the admin listener.
    ForeignPage,
    /// Other machines can reach the admin listener, and no token is configured.
    DashboardClosed,
    MethodNotAllowed {
        /// The value of `Allow`.
        allowed: &'static str,
        /// The upstream's base URL, where tasks are created; set for a POST.
        create_at: Option<String>,
    },
    /// The client has reached one of the limits per client.
    ClientRateLimited {
        /// Seconds until the limit allows another request.
        retry_after: u64,
    },
    Refused(Refusal),
    /// The upstream's answer is no content that may be passed on. Time does not mend that.
    NotPassedOn,
    /// A cancellation was not sent, or its result is unknown.
    NotCancelled(Refusal),
}

/// A fault of the credentials in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum CredentialFault {
    /// The token is a key of the upstream's API, which belongs on the server.
    UpstreamKey,
    /// The token is not in the token file.
    UnknownToken,
    /// The ticket is not valid.
    Ticket(TicketFault),
    /// The request has several `Authorization` fields.
    Several,
}

impl Error {
    /// The HTTP status.
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
            Self::NotPassedOn => StatusCode::BAD_GATEWAY,
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

    /// The code for programs.
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
            Self::NotPassedOn => Code::UpstreamInvalidResponse,
            Self::Refused(refusal) | Self::NotCancelled(refusal) => refusal.reason.into(),
        }
    }

    /// Seconds until a retry is worth it; `None` where waiting does not help.
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
            | Self::NotPassedOn
            | Self::MethodNotAllowed { .. } => None,
        }
    }
}
