//! Owns the texts of the gateway's own errors: each says what is wrong and what to do.

use super::error::{CredentialFault, Error};
use crate::core::answer::{Reason, Refusal};
use crate::core::failure::Failure;
use crate::core::task::{ID_CHARACTERS, MAX_ID, PathFault};

/// The text of an error.
pub(super) fn of(error: &Error) -> String {
    match error {
        Error::Path(PathFault::UnknownRoute) => {
            "This path is not a task status path of this gateway. Ask for \
            /v1/tasks/{id}, or add the path to upstream.routes."
                .to_owned()
        }
        Error::Path(PathFault::InvalidId) => format!(
            "A task id is 1 to {MAX_ID} characters of {ID_CHARACTERS}, and not dots alone. Send the id exactly as the \
             create response gave it, without encoding."
        ),
        Error::MissingCredentials => "This gateway needs a token or a ticket. Programs send Authorization: \
            Bearer TOKEN; pages get a ticket from their back end and send it the same way, or as \
            ?ticket=TICKET."
            .to_owned(),
        Error::InvalidCredentials(fault) => credential_fault(*fault),
        Error::TicketNotForTask => {
            "This ticket does not name this task. Get one whose `tasks` contains the task's id.".to_owned()
        }
        Error::MayNotCancel => {
            "This ticket does not allow cancelling. Get a ticket with `cancel`: true.".to_owned()
        }
        Error::BodyNotAllowed => "A status request has no body. Send it without one.".to_owned(),
        Error::InvalidParameter(cure) => (*cure).to_owned(),
        Error::HostUnclear => {
            "The request does not name one valid host. Send exactly one Host header, with this gateway's \
             name or address."
                .to_owned()
        }
        Error::HostNotAllowed(host) => format!(
            "This gateway does not answer to the name {host}. Use localhost or its IP address, or add the \
             name to server.allowed_hosts."
        ),
        Error::OriginNotAllowed(origin) => format!(
            "Pages from {origin} may not read from this gateway. Add the origin to \
             server.allowed_origins."
        ),
        Error::ForeignPage => "Pages of other origins may not use the admin listener. Open the dashboard \
            itself, or use a program such as curl."
            .to_owned(),
        Error::DashboardClosed => "Other machines can reach this listener, so the dashboard and the purge \
            need a token, and none is configured. Name a file in access.token_file (`taskgate token NAME` \
            makes its lines), or set admin.listen to a loopback address, such as 127.0.0.1:9797."
            .to_owned(),
        Error::MethodNotAllowed { create_at: Some(base_url), .. } => format!(
            "This gateway creates no tasks. Create them from your back end at {base_url}, then ask here for \
             their status."
        ),
        Error::MethodNotAllowed { create_at: None, allowed } => {
            format!("This path does not allow the method. It allows {allowed}.")
        }
        Error::ClientRateLimited { retry_after } => format!(
            "This client has reached a limit that the operator has set. Ask again in {retry_after} s, and \
             always wait as long as Retry-After says."
        ),
        Error::NotPassedOn => {
            "The upstream's answer is not the bytes of this result, or not of a kind that passes here. \
            If the task is completed, tell the operator: the gateway's log says what is wrong."
                .to_owned()
        }
        Error::Refused(refusal) => refused(refusal),
        Error::NotCancelled(refusal) => not_cancelled(refusal),
    }
}

fn credential_fault(fault: CredentialFault) -> String {
    match fault {
        CredentialFault::UpstreamKey => {
            "This is a key of the upstream's API, which belongs on the server. Send a token of \
            this gateway instead; its operator gives them out."
                .to_owned()
        }
        CredentialFault::UnknownToken => {
            "This token is not known here. Ask the operator of this gateway for one.".to_owned()
        }
        CredentialFault::Several => {
            "The request has several Authorization headers. Send exactly one.".to_owned()
        }
        CredentialFault::Ticket(fault) => format!("This ticket is not valid: {fault}."),
    }
}

fn not_cancelled(refusal: &Refusal) -> String {
    let wait = refusal.retry_after;
    match refusal.reason {
        Reason::Budget => format!(
            "The key's request budget is spent for the moment, and the cancellation was not sent. Send it \
             again in {wait} s."
        ),
        Reason::Overloaded => {
            format!("Too many cancellations wait, and this one was not sent. Send it again in {wait} s.")
        }
        Reason::ShuttingDown => {
            "The gateway is stopping, and the task may be cancelled or not. Read its state, and \
            send the cancellation again if the task still runs."
                .to_owned()
        }
        Reason::Upstream(Failure::TimedOut | Failure::Unreachable | Failure::ServerError { .. }) => format!(
            "{} The task may be cancelled all the same: read its state to find out.",
            refused(refusal).split(". ").next().map_or(String::new(), |what| format!("{what}."))
        ),
        Reason::Upstream(Failure::Refused { .. }) => {
            "The upstream cannot cancel this task: it refused without a reason. Read the task's state."
                .to_owned()
        }
        Reason::Upstream(_) => refused(refusal),
    }
}

fn refused(refusal: &Refusal) -> String {
    let wait = refusal.retry_after;
    match refusal.reason {
        Reason::Budget => format!(
            "The key's request budget is spent for the moment. Ask again in {wait} s: the task keeps its \
             place in the queue."
        ),
        Reason::Overloaded => format!(
            "The gateway holds as much as it may at once. Ask again in {wait} s, for fewer tasks at once; the \
             operator can raise polling.max_tasks, server.max_connections or cache.max_bytes."
        ),
        Reason::ShuttingDown => format!("The gateway is stopping or restarting. Ask again in {wait} s."),
        Reason::Upstream(failure) => {
            let cure = match failure {
                Failure::KeyRejected => "The operator has to set a valid key.".to_owned(),
                Failure::QuotaExhausted => "The operator has to top up the account.".to_owned(),
                Failure::InvalidResponse { .. }
                | Failure::Refused { .. }
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
