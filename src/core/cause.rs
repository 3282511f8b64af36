//! Owns the cause of a piece of work: the id of the client's request, for log lines about the work.
//!
//! The id travels as a value, and becomes a span only where a line is written. A span for each request would
//! cost a request that finds no fresh state more than all its look-ups in the store.

use std::future::Future;

use tokio::task_local;
use tracing::Span;

use super::request_id::RequestId;

task_local! {
    static CAUSE: Cause;
}

/// The cause of a piece of work: a client's request, or none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cause(Option<RequestId>);

impl Cause {
    /// The request with this id.
    pub fn request(id: RequestId) -> Self {
        Self(Some(id))
    }

    /// The cause of the work that runs now.
    pub fn current() -> Self {
        CAUSE.try_with(|cause| *cause).unwrap_or_default()
    }

    /// Runs a future with this as its cause.
    pub fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CAUSE.scope(self, work)
    }

    /// Runs a closure with this as its cause.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        CAUSE.sync_scope(self, work)
    }

    fn span(&self) -> Span {
        match &self.0 {
            // The level is error, so that each filter that lets a line through also lets the id of its
            // request through.
            Some(id) => tracing::error_span!("request", request_id = id.as_str()),
            None => Span::none(),
        }
    }
}

/// Writes log lines with the id of the request that causes the work that runs now.
pub fn log<T>(lines: impl FnOnce() -> T) -> T {
    Cause::current().span().in_scope(lines)
}
