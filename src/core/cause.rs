//! Owns the name of the request that causes what goes on, for the log lines about it.
//!
//! It travels as a value: a span for each request would cost a miss more than all its look-ups in the store. Only
//! where a line is written is it made into one.

use std::future::Future;

use tokio::task_local;
use tracing::Span;

use super::request_id::RequestId;

task_local! {
    static CAUSE: Cause;
}

/// What causes something: a request, or nobody in particular.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cause(Option<RequestId>);

impl Cause {
    /// The request of this name.
    pub fn request(name: RequestId) -> Self {
        Self(Some(name))
    }

    /// What causes the work that is being done now.
    pub fn current() -> Self {
        CAUSE.try_with(|cause| *cause).unwrap_or_default()
    }

    /// Runs work that this causes, to its end.
    pub fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CAUSE.scope(self, work)
    }

    /// Does at once what this causes.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        CAUSE.sync_scope(self, work)
    }

    fn span(&self) -> Span {
        match &self.0 {
            // An error's level: no filter that lets a line through may drop the name of its request.
            Some(name) => tracing::error_span!("request", request_id = name.as_str()),
            None => Span::none(),
        }
    }
}

/// Writes log lines that name what causes the work that is being done now.
pub fn log<T>(lines: impl FnOnce() -> T) -> T {
    Cause::current().span().in_scope(lines)
}
