//! Owns what a connection is activity: whether its client is to send a request, sends one, or is being answered.
//!
//! hyper does not tell. It is read off what passes: bytes, calls of the service, and ends of answers. All of
//! it happens in the connection's own task, so no order between the numbers has to be enforced.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// The activity of one connection. A clone tracks the same one.
#[derive(Clone, Default)]
pub(super) struct Tracker(Arc<Counts>);

#[derive(Default)]
struct Counts {
    /// Requests that were read whole.
    begun: AtomicU32,
    /// Requests whose answer has ended.
    ended: AtomicU32,
    /// Bytes of the next head have come.
    heard: AtomicBool,
    /// A write waits for the client to read.
    blocked: AtomicBool,
}

/// What a connection is activity. `after` is the number of the requests that it has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// The client is to send a request.
    Idle { after: u32 },
    /// A head has begun to arrive.
    ReadingHead { after: u32 },
    /// An answer is on its way.
    Answering,
}

impl Tracker {
    pub(super) fn activity(&self) -> Activity {
        let after = self.0.ended.load(Relaxed);
        if self.0.begun.load(Relaxed) != after || self.0.blocked.load(Relaxed) {
            Activity::Answering
        } else if self.0.heard.load(Relaxed) {
            Activity::ReadingHead { after }
        } else {
            Activity::Idle { after }
        }
    }

    /// Bytes came. What comes while an answer is on its way is not looked at until that has ended: such a
    /// head counts as begun when its next bytes come.
    pub(super) fn heard(&self) {
        if self.0.begun.load(Relaxed) == self.0.ended.load(Relaxed) {
            self.0.heard.store(true, Relaxed);
        }
    }

    /// Whether a write waits for room.
    pub(super) fn blocked(&self, is_blocked: bool) {
        self.0.blocked.store(is_blocked, Relaxed);
    }

    /// A request was read. Its answer goes on for as long as the value lives.
    pub(super) fn begin(&self) -> AnswerGuard {
        self.0.heard.store(false, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        AnswerGuard(self.clone())
    }
}

/// An answer on its way.
pub(super) struct AnswerGuard(Tracker);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Relaxed);
    }
}

/// A body that is an answer on its way until it is dropped.
pub(super) struct TrackedBody<B> {
    pub(super) body: B,
    pub(super) _answer: AnswerGuard,
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
