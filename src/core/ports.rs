//! Owns the port through which the core reaches the upstream.

use std::future::Future;
use std::pin::Pin;

use super::budget::Permit;
use super::content::{ContentRequest, Opened};
use super::failure::Failure;
use super::identity::ForeignIds;
use super::snapshot::Snapshot;
use super::task::TaskKey;
use http::StatusCode;

/// The future of a fetch.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, Failure>> + Send + 'a>>;

/// The future of a cancellation.
pub type Cancelling<'a> = Pin<Box<dyn Future<Output = Result<Reply<Fetched>, Failure>> + Send + 'a>>;

/// The future of an opening.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Opened, Failure>> + Send + 'a>>;

/// The upstream, seen from the core.
pub trait Source: Send + Sync + 'static {
    /// Asks the upstream once about one task. The permit pays for one request; a second attempt needs another
    /// permit. The core bounds the duration by dropping the future.
    fn fetch<'a>(&'a self, key: &'a TaskKey, permit: Permit, connection: Connection) -> Fetching<'a>;

    /// Asks the upstream once to cancel one task, on a fresh connection. It never retries, because the first
    /// request may have arrived.
    fn cancel<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Cancelling<'a>;

    /// Asks the upstream once for a content, on a fresh connection: no id in its bytes shows whose they are. The permit is
    /// held until the answer begins; its bytes then take as long as they like. A source may have none.
    fn open<'a>(&'a self, _key: &'a TaskKey, _request: &'a ContentRequest, _permit: Permit) -> Opening<'a> {
        Box::pin(async { Err(Failure::Refused { status: 404 }) })
    }

    /// An answer on a kept connection was refused, as it may be another task's. No connection that is kept now
    /// serves another request.
    fn distrust_connections(&self);
}

/// The connection of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// One that has served other requests, if there is one.
    Any,
    /// One that has served no request: no late answer to another can come on it.
    Fresh,
}

/// An answer, before it is known whose it is.
#[derive(Debug)]
pub struct Fetched {
    /// The answer.
    pub snapshot: Snapshot,
    /// The ids by which it names its task, if none of them is the path's.
    pub foreign: Option<ForeignIds>,
}

impl From<Snapshot> for Fetched {
    /// An answer that names the task by its path's id, or not at all.
    fn from(snapshot: Snapshot) -> Self {
        Self { snapshot, foreign: None }
    }
}

/// The answer of the upstream to a cancellation.
#[derive(Debug)]
pub enum Reply<A = Snapshot> {
    /// The task after the cancellation, or the reason why it cannot be cancelled.
    Answer(A),
    /// A 2xx without a body: the task is cancelled, or will be.
    Silent(StatusCode),
}

impl<A> Reply<A> {
    /// The same with another form of the answer.
    pub fn map<B>(self, form: impl FnOnce(A) -> B) -> Reply<B> {
        match self {
            Self::Answer(answer) => Reply::Answer(form(answer)),
            Self::Silent(status) => Reply::Silent(status),
        }
    }
}
