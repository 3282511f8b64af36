//! Owns the texts of the gateway's own errors: each says what is wrong and what to do.

use super::error::{CredentialFault, Error};
use crate::core::answer::{Reason, Refusal};
use crate::core::failure::Failure;
use crate::core::task::{MAX_ID, PathFault};

/// The text of an error.
pub(super) fn of(error: &Error) -> String {
    match error {
        Error::Path(PathFault::UnknownRoute) => "This is no task status path of this gateway. Ask for \
            /v1/tasks/{id}, or add the path to upstream.routes."
            .to_owned(),
        Error::Path(PathFault::InvalidId) => format!(
            "A task id is 1 to {MAX_ID} characters of A-Z a-z 0-9 _ -. Send the id as the create \
             response gave it, without encoding."
        ),
        Error::MissingCredentials => "This gateway needs a token or a ticket. Programs send Authorization: \
            Bearer TOKEN; pages get a ticket from their back end and send it the same way, or as ?ticket="
            .to_owned(),
        Error::InvalidCredentials(fault) => credential_fault(*fault),
        Error::TicketNotForTask => {
            "This ticket is for other tasks. Get one whose `tasks` names this task's id.".to_owned()
        }
        Error::MayNotCancel => "This ticket does not cancel tasks. Get one with `cancel`: true.".to_owned(),
        Error::BodyNotAllowed => "A status request has no body. Send it without one.".to_owned(),
        Error::InvalidParameter(cure) => (*cure).to_owned(),
        Error::HostUnclear => "Send exactly one valid Host header.".to_owned(),
        Error::HostNotAllowed(host) => format!(
            "The name {host} is not one this gateway answers to. Use localhost or its IP address, or \
             add the name to server.allowed_hosts."
        ),
        Error::OriginNotAllowed(origin) => format!(
            "Pages from {origin} may not read from this gateway. Add the origin to \
             server.allowed_origins."
        ),
        Error::ForeignPage => "Pages of other origins have no business here. Open the dashboard itself, or \
            use a program such as curl."
            .to_owned(),
        Error::DashboardClosed => "Other machines reach this listener, so the dashboard and purging need a \
            token, and there is none yet: name a file in access.token_file (`taskgate token NAME` makes its \
            lines), or set admin.listen to an address of this machine alone, such as 127.0.0.1:9797."
            .to_owned(),
        Error::MethodNotAllowed { create_at: Some(base_url), .. } => format!(
            "This gateway only reads tasks. Create them from your back end at {base_url}, then ask here \
             for their status."
        ),
        Error::MethodNotAllowed { create_at: None, allowed } => {
            format!("This path does not take the method. It takes {allowed}.")
        }
        Error::ClientRateLimited { retry_after } => format!(
            "This client asks more often than the operator allows. Ask again in {retry_after} s; obey \
             Retry-After, and nothing is lost."
        ),
        Error::Refused(refusal) => refused(refusal),
        Error::NotCancelled(refusal) => not_cancelled(refusal),
    }
}

fn credential_fault(fault: CredentialFault) -> String {
    match fault {
        CredentialFault::UpstreamKey => {
            "This is a key of the upstream's API. It belongs on the server, and this gateway \
            has its own: send a token of this gateway, which its operator gives out."
                .to_owned()
        }
        CredentialFault::UnknownToken => {
            "This token is not known here. Ask the operator of this gateway for one.".to_owned()
        }
        CredentialFault::Several => "Send one Authorization header.".to_owned(),
        CredentialFault::Ticket(fault) => format!("This ticket does not hold: {fault}."),
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
