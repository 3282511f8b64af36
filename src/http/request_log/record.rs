//! Owns the record of one request: id, kind, client and outcome. Dropping the record counts the request, so
//! that each request counts once, however it ends.
//!
//! The record is task-local. As an extension of the request it would cost each hit an allocation.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use tokio::task_local;
use tokio::time::{Duration, Instant};

use super::counters::{Ending, Outcome, RequestCounters, RequestKind};
use super::request_id;
use crate::core::cause::Cause;
use crate::core::grant::Client;
use crate::core::request_id::RequestId;

task_local! {
    static RECORD: Record;
}

/// One request's record.
pub(in crate::http) struct Record {
    counters: Arc<RequestCounters>,
    id: RequestId,
    /// `None` without an access log.
    start: Option<Instant>,
    kind: Cell<RequestKind>,
    outcome: Cell<Option<Outcome>>,
    /// Unset without an access log.
    client: OnceCell<Client>,
}

impl Record {
    pub(in crate::http) fn new(counters: &Arc<RequestCounters>, id: RequestId, is_logged: bool) -> Self {
        Self {
            counters: Arc::clone(counters),
            id,
            start: is_logged.then(Instant::now),
            kind: Cell::new(RequestKind::Other),
            outcome: Cell::new(None),
            client: OnceCell::new(),
        }
    }

    /// Runs the handling of the request with this record as the task-local one.
    pub(in crate::http) fn scope<F: Future>(self, handling: F) -> impl Future<Output = F::Output> {
        RECORD.scope(self, handling)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let outcome = self.outcome.get().unwrap_or(Outcome::Ended(Ending::Abandoned));
        self.counters.request(self.kind.get(), outcome);
    }
}

/// Does nothing without a record, as on the admin listener.
fn with(then: impl FnOnce(&Record)) {
    let _ = RECORD.try_with(then);
}

/// Records the request's kind.
pub(in crate::http) fn kind(kind: RequestKind) {
    with(|record| record.kind.set(kind));
}

/// Records the request's client, for the access log.
pub(in crate::http) fn client(client: &Client) {
    with(|record| {
        if record.start.is_some() {
            let _ = record.client.set(client.clone());
        }
    });
}

/// Records the request's outcome.
pub(in crate::http) fn outcome(outcome: impl Into<Outcome>) {
    with(|record| record.outcome.set(Some(outcome.into())));
}

/// The request as a cause, which the core names in log lines about the work for it.
pub(in crate::http) fn cause() -> Cause {
    RECORD.try_with(|record| Cause::request(record.id)).unwrap_or_default()
}

/// Writes the access log's line of a request that is answered with `status`. The line has no query, which may
/// hold a ticket.
pub(in crate::http) fn write(
    method: &http::Method,
    path: &str,
    status: http::StatusCode,
    trace_id: Option<&str>,
) {
    with(|record| {
        let outcome = record.outcome.get().unwrap_or(Outcome::Ended(Ending::Abandoned));
        let took = record.start.map_or(Duration::ZERO, |start| start.elapsed());
        tracing::info!(
            target: "taskgate::access",
            request_id = record.id.as_str(),
            %method,
            path = %path.escape_debug(),
            route = record.kind.get().word(),
            status = status.as_u16(),
            outcome = outcome.word(),
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            client = %ClientName(record.client.get()),
            trace_id,
            "request"
        );
    });
}

/// Records the outcome by the status, where no outcome is recorded yet.
pub(in crate::http) fn answered(status: http::StatusCode) {
    with(|record| {
        if record.outcome.get().is_none() {
            let is_fine = status.is_success() || status.is_redirection();
            let ending = if is_fine { Ending::Ok } else { Ending::Refused };
            record.outcome.set(Some(ending.into()));
        }
    });
}

/// The request's id as the value of `X-Request-Id`.
pub(in crate::http) fn request_id() -> Option<HeaderValue> {
    RECORD.try_with(|record| request_id::header(&record.id)).ok()
}

/// A client's name in the log. It holds no secret, and is escaped so that it cannot end the line.
struct ClientName<'c>(Option<&'c Client>);

impl fmt::Display for ClientName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("-"),
            Some(Client::Named(name)) => write!(f, "token:{}", name.escape_debug()),
            Some(Client::User(user)) => write!(f, "user:{}", user.escape_debug()),
            Some(Client::Address(address)) => write!(f, "address:{address}"),
        }
    }
}
