//! Owns what is noted of a request on its way: its name, kind, client and outcome. When the note is dropped the
//! request is counted, so each counts once, whatever becomes of it.
//!
//! It lies beside the request's task and not in it: extensions would cost each hit an allocation.

use std::cell::{Cell, OnceCell};
use std::fmt;

use http::HeaderValue;
use tokio::task_local;
use tokio::time::{Duration, Instant};

use super::Gateway;
use super::request_id;
use super::tally::{Ending, Kind, Outcome};
use crate::core::cause::{Cause, Name};
use crate::core::grant::Client;

task_local! {
    static NOTE: Note;
}

/// One request's note.
pub(super) struct Note {
    gateway: Gateway,
    name: Name,
    /// Where an access log is to tell how long it took.
    start: Option<Instant>,
    kind: Cell<Kind>,
    outcome: Cell<Option<Outcome>>,
    /// Only where an access log is to name it.
    client: OnceCell<Client>,
}

impl Note {
    pub(super) fn new(gateway: Gateway, name: Name) -> Self {
        Self {
            start: gateway.0.log_access.then(Instant::now),
            gateway,
            name,
            kind: Cell::new(Kind::Other),
            outcome: Cell::new(None),
            client: OnceCell::new(),
        }
    }

    /// Runs the rest of the request's way with this note beside it.
    pub(super) fn beside<F: Future>(self, way: F) -> impl Future<Output = F::Output> {
        NOTE.scope(self, way)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let outcome = self.outcome.get().unwrap_or(Outcome::Ended(Ending::Abandoned));
        self.gateway.0.tally.request(self.kind.get(), outcome);
    }
}

/// Where no note lies, as on the admin listener, nothing is noted.
fn with(then: impl FnOnce(&Note)) {
    let _ = NOTE.try_with(then);
}

/// What the request asks for.
pub(super) fn kind(kind: Kind) {
    with(|note| note.kind.set(kind));
}

/// Who asks.
pub(super) fn client(client: &Client) {
    with(|note| {
        if note.gateway.0.log_access {
            let _ = note.client.set(client.clone());
        }
    });
}

/// What becomes of the request.
pub(super) fn outcome(outcome: impl Into<Outcome>) {
    with(|note| note.outcome.set(Some(outcome.into())));
}

/// For log lines about what the request causes, as long as that goes on.
pub(super) fn cause() -> Cause {
    NOTE.try_with(|note| Cause::request(note.name)).unwrap_or_default()
}

/// The access log's line, for a request that is answered with `status`. The path alone: a query may hold a ticket.
pub(super) fn log(method: &http::Method, path: &str, status: http::StatusCode) {
    with(|note| {
        let outcome = note.outcome.get().unwrap_or(Outcome::Ended(Ending::Abandoned));
        let took = note.start.map_or(Duration::ZERO, |start| start.elapsed());
        tracing::info!(
            target: "taskgate::access",
            request_id = note.name.as_str(),
            %method,
            path = %path.escape_debug(),
            route = note.kind.get().word(),
            status = status.as_u16(),
            outcome = outcome.word(),
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            client = %Asker(note.client.get()),
            "request"
        );
    });
}

/// The request is answered: what nobody has noted an outcome of is judged by its status.
pub(super) fn answered(status: http::StatusCode) {
    with(|note| {
        if note.outcome.get().is_none() {
            let is_fine = status.is_success() || status.is_redirection();
            let ending = if is_fine { Ending::Ok } else { Ending::Refused };
            note.outcome.set(Some(ending.into()));
        }
    });
}

/// The name of the request, as a header.
pub(super) fn request_id() -> Option<HeaderValue> {
    NOTE.try_with(|note| request_id::header(&note.name)).ok()
}

/// A client as logs name it: nothing in it is a secret, and nothing can end the line.
struct Asker<'c>(Option<&'c Client>);

impl fmt::Display for Asker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("-"),
            Some(Client::Named(name)) => write!(f, "token:{}", name.escape_debug()),
            Some(Client::User(user)) => write!(f, "user:{}", user.escape_debug()),
            Some(Client::Address(address)) => write!(f, "address:{address}"),
        }
    }
}
