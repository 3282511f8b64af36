//! Owns the gateway's own errors: the one place where they become HTTP.
//!
//! The envelope is LemonData's, so that clients need one reader: `{"error":{"message","type","code",
//! "retryable","retry_after"?}}`, with `type` always `gateway_error`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Doubt;
use super::code::Code;
use super::note;
use super::tally::Outcome;
use crate::core::mirror::{Reason, Refusal};
use crate::core::ports::Failure;
use crate::core::task::{MAX_ID, PathFault};

/// Why a request is not answered with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Error {
    Path(PathFault),
    MissingCredentials,
    InvalidCredentials(Doubt),
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

/// An error as it is sent.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope<'a> {
    error: Details<'a>,
}

/// What stands in it.
#[derive(Serialize, ToSchema)]
pub(super) struct Details<'a> {
    /// What is wrong and what to do, for people.
    message: &'a str,
    /// `gateway_error`: the upstream's own errors have other types.
    r#type: &'static str,
    /// What is wrong, for programs.
    code: &'static str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Seconds until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// The code of a reason, as errors and `Cache-Status` name it.
pub(super) fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::Budget => Code::BudgetExhausted,
        Reason::Overloaded => Code::Overloaded,
        Reason::ShuttingDown => Code::ShuttingDown,
        Reason::Upstream(failure) => match failure {
            Failure::KeyRejected => Code::UpstreamKeyRejected,
            Failure::QuotaExhausted => Code::UpstreamQuotaExhausted,
            Failure::RateLimited { .. } => Code::UpstreamRateLimited,
            Failure::InvalidResponse { .. } => Code::UpstreamInvalidResponse,
            Failure::ServerError { .. } => Code::UpstreamError,
            Failure::Unreachable => Code::UpstreamUnreachable,
            Failure::TimedOut => Code::UpstreamTimeout,
        },
    }
}

impl Error {
    /// Its HTTP status.
    pub(super) fn status(&self) -> StatusCode {
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

    fn code(&self) -> Code {
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
            Self::Refused(refusal) | Self::NotCancelled(refusal) => code_of(refusal.reason),
        }
    }

    /// When to ask again, in seconds; `None` where waiting does not help.
    pub(super) fn retry_after(&self) -> Option<u64> {
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

    fn message(&self) -> String {
        match self {
            Self::Path(PathFault::UnknownRoute) => "This is no task status path of this gateway. Ask for \
                /v1/tasks/{id}, or add the path to upstream.routes."
                .to_owned(),
            Self::Path(PathFault::InvalidId) => format!(
                "A task id is 1 to {MAX_ID} characters of A-Z a-z 0-9 _ -. Send the id as the create \
                 response gave it, without encoding."
            ),
            Self::MissingCredentials => {
                "This gateway needs a token or a ticket. Programs send Authorization: \
                Bearer TOKEN; pages get a ticket from their back end and send it the same way, or as ?ticket="
                    .to_owned()
            }
            Self::InvalidCredentials(doubt) => doubtful(*doubt),
            Self::TicketNotForTask => {
                "This ticket is for other tasks. Get one whose `tasks` names this task's id.".to_owned()
            }
            Self::MayNotCancel => {
                "This ticket does not cancel tasks. Get one with `cancel`: true.".to_owned()
            }
            Self::BodyNotAllowed => "A status request has no body. Send it without one.".to_owned(),
            Self::InvalidParameter(cure) => (*cure).to_owned(),
            Self::HostUnclear => "Send exactly one valid Host header.".to_owned(),
            Self::HostNotAllowed(host) => format!(
                "The name {host} is not one this gateway answers to. Use localhost or its IP address, or \
                 add the name to server.allowed_hosts."
            ),
            Self::OriginNotAllowed(origin) => format!(
                "Pages from {origin} may not read from this gateway. Add the origin to \
                 server.allowed_origins."
            ),
            Self::ForeignPage => "Pages of other origins have no business here. Open the dashboard itself, or \
                use a program such as curl."
                .to_owned(),
            Self::DashboardClosed => "Other machines reach this listener, so the dashboard and purging need a \
                token, and there is none yet: name a file in access.token_file (`taskgate token NAME` makes its \
                lines), or set admin.listen to an address of this machine alone, such as 127.0.0.1:9797."
                .to_owned(),
            Self::MethodNotAllowed { create_at: Some(base_url), .. } => format!(
                "This gateway only reads tasks. Create them from your back end at {base_url}, then ask here \
                 for their status."
            ),
            Self::MethodNotAllowed { create_at: None, allowed } => {
                format!("This path does not take the method. It takes {allowed}.")
            }
            Self::ClientRateLimited { retry_after } => format!(
                "This client asks more often than the operator allows. Ask again in {retry_after} s; obey \
                 Retry-After, and nothing is lost."
            ),
            Self::Refused(refusal) => refused(refusal),
            Self::NotCancelled(refusal) => not_cancelled(refusal),
        }
    }
}

fn doubtful(doubt: Doubt) -> String {
    match doubt {
        Doubt::UpstreamKey => {
            "This is a key of the upstream's API. It belongs on the server, and this gateway \
            has its own: send a token of this gateway, which its operator gives out."
                .to_owned()
        }
        Doubt::UnknownToken => {
            "This token is not known here. Ask the operator of this gateway for one.".to_owned()
        }
        Doubt::Several => "Send one Authorization header.".to_owned(),
        Doubt::Ticket(fault) => format!("This ticket does not hold: {fault}."),
    }
}

fn not_cancelled(refusal: &Refusal) -> String {
    let wait = refusal.retry_after;
    match refusal.reason {
        Reason::Budget => format!(
            "The key's request budget is spent for the moment, and the cancellation was not sent. Send it again in \
             {wait} s."
        ),
        Reason::Overloaded => {
            format!("Too many cancellations wait, and this one was not sent. Send it again in {wait} s.")
        }
        Reason::ShuttingDown => {
            "The gateway stops. Whether the task is cancelled shows its state: ask for that, and \
            send this again if need be."
                .to_owned()
        }
        Reason::Upstream(Failure::TimedOut | Failure::Unreachable | Failure::ServerError { .. }) => format!(
            "{} The task may be cancelled all the same: its state will tell.",
            refused(refusal).split(". ").next().map_or(String::new(), |what| format!("{what}."))
        ),
        Reason::Upstream(_) => refused(refusal),
    }
}

fn refused(refusal: &Refusal) -> String {
    let wait = refusal.retry_after;
    match refusal.reason {
        Reason::Budget => format!(
            "The key's request budget is spent for the moment. Ask again in {wait} s: the task's place in the \
             line is kept."
        ),
        Reason::Overloaded => format!(
            "Too many different tasks are being watched. Ask again in {wait} s; the operator can raise \
             polling.max_tasks."
        ),
        Reason::ShuttingDown => format!("The gateway stops or restarts. Ask again in {wait} s."),
        Reason::Upstream(failure) => {
            let cure = match failure {
                Failure::KeyRejected => "The operator has to set a valid key.".to_owned(),
                Failure::QuotaExhausted => "The operator has to top up the account.".to_owned(),
                Failure::InvalidResponse { .. }
                | Failure::RateLimited { .. }
                | Failure::ServerError { .. }
                | Failure::Unreachable
                | Failure::TimedOut => format!("Ask again in {wait} s."),
            };
            let mut what = failure.to_string();
            if let Some(first) = what.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            format!("{what}. {cure}")
        }
    }
}

impl Error {
    /// The envelope's bytes.
    pub(super) fn envelope(&self) -> Vec<u8> {
        let retry_after = self.retry_after();
        let envelope = Envelope {
            error: Details {
                message: &self.message(),
                r#type: "gateway_error",
                code: self.code().word(),
                retryable: retry_after.is_some(),
                retry_after,
            },
        };
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(&envelope).unwrap_or_default()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        note::outcome(Outcome::Failed(self.code()));
        let status = self.status();
        let retry_after = self.retry_after();
        let body = self.envelope();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match self {
            Self::MethodNotAllowed { allowed, .. } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            // RFC 6750, 3.1.
            Self::InvalidCredentials(_) => {
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::MissingCredentials => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // What follows on this connection may be the rest of the body.
            Self::BodyNotAllowed => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Path(_)
            | Self::InvalidParameter(_)
            | Self::HostUnclear
            | Self::HostNotAllowed(_)
            | Self::OriginNotAllowed(_)
            | Self::ForeignPage
            | Self::DashboardClosed
            | Self::TicketNotForTask
            | Self::MayNotCancel
            | Self::ClientRateLimited { .. }
            | Self::Refused(_)
            | Self::NotCancelled(_) => {}
        }
        response
    }
}
