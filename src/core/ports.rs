//! Owns the port through which the core reaches the upstream.

use std::future::Future;
use std::pin::Pin;

use super::budget::Permit;
use super::failure::Failure;
use super::snapshot::Snapshot;
use super::task::TaskKey;
use http::StatusCode;

/// The future of a fetch.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Snapshot, Failure>> + Send + 'a>>;

/// The future of a cancellation.
pub type Cancelling<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;

/// The upstream, seen from the core.
pub trait Source: Send + Sync + 'static {
    /// Asks the upstream once about one task. The permit pays for one request; a second attempt needs another
    /// permit. The core bounds the duration by dropping the future.
    fn fetch<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Fetching<'a>;

    /// Asks the upstream once to cancel one task. It never retries, because the first request may have
    /// arrived.
    fn cancel<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Cancelling<'a>;
}

/// The answer of the upstream to a cancellation.
#[derive(Debug)]
pub enum Reply {
    /// The task after the cancellation, or the reason why it cannot be cancelled.
    Answer(Snapshot),
    /// A 2xx without a body: the task is cancelled, or will be.
    Silent(StatusCode),
}
