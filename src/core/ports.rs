//! Owns the ports of the core: what it needs from outside.

use std::future::Future;
use std::pin::Pin;

use super::budget::Permit;
use super::failure::Failure;
use super::snapshot::Snapshot;
use super::task::TaskKey;
use http::StatusCode;

/// The future a [`Source`] returns.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Snapshot, Failure>> + Send + 'a>>;

/// The future of a cancellation.
pub type Cancelling<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;

/// Where answers come from: the upstream, seen from the core.
pub trait Source: Send + Sync + 'static {
    /// Asks once about one task. The permit pays for one request; a second attempt needs another.
    /// The core bounds the time it takes by dropping the future.
    fn fetch<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Fetching<'a>;

    /// Asks once to cancel one task. Never a second time: the first may have arrived.
    fn cancel<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Cancelling<'a>;
}

/// What the upstream says to a cancellation.
#[derive(Debug)]
pub enum Reply {
    /// The task after it, or why it cannot be cancelled.
    Answer(Snapshot),
    /// A 2xx without a body: it is done, or will be.
    Silent(StatusCode),
}
