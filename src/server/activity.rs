//! Owns the activity of a connection: idle, reading a head, or answering.
//!
//! hyper does not report it. The [`Tracker`] derives it from the bytes read, the calls of the service, and
//! the ends of answers. All of them happen in the connection's own task, so the atomics need no ordering.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use crate::core::places::Place;

/// Tracks the activity of one connection. Clones track the same connection.
#[derive(Clone)]
pub(super) struct Tracker(Arc<Counts>);

struct Counts {
    place: Arc<Place>,
    /// Requests whose head was read.
    begun: AtomicU32,
    /// Requests whose answer has ended.
    ended: AtomicU32,
    /// Bytes of the next head have arrived.
    heard: AtomicBool,
    /// A write waits for the client to read.
    blocked: AtomicBool,
    /// The server has all bytes of the answer that there are.
    handed_over: AtomicBool,
}

/// The activity of a connection. `after` is the number of requests answered on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// The connection waits for its client to send a request.
    Idle { after: u32 },
    /// A head has begun to arrive.
    ReadingHead { after: u32 },
    /// A request is being answered, or its answer is being written.
    Answering,
}

impl Tracker {
    pub(super) fn new(place: Arc<Place>) -> Self {
        let (begun, ended, heard, blocked, handed_over) = Default::default();
        Self(Arc::new(Counts { place, begun, ended, heard, blocked, handed_over }))
    }

    /// Requests whose head was read.
    pub(super) fn requests(&self) -> u32 {
        self.0.begun.load(Relaxed)
    }

    pub(super) fn is_answering(&self) -> bool {
        self.0.begun.load(Relaxed) != self.0.ended.load(Relaxed)
    }

    /// Whether the client of the request under way must stay.
    pub(super) fn must_stay(&self) -> bool {
        self.0.place.has_to_stay()
    }

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

    /// Bytes were read. Bytes read during an answer are ignored: a head that began with them counts as begun
    /// when its next bytes arrive.
    pub(super) fn heard(&self) {
        if !self.is_answering() {
            self.0.heard.store(true, Relaxed);
            // What is flushed from now on says nothing about the head that is being read.
            self.0.handed_over.store(false, Relaxed);
        }
    }

    /// A write waits for room in the socket (backpressure), or no longer does.
    pub(super) fn blocked(&self, is_blocked: bool) {
        self.0.blocked.store(is_blocked, Relaxed);
    }

    /// Whether a write waits for room in the socket.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.blocked.load(Relaxed)
    }

    /// Whether hyper has all bytes of the answer that there are: once they are flushed, the answer holds nothing.
    pub(super) fn has_handed_over(&self) -> bool {
        self.0.handed_over.load(Relaxed)
    }

    /// Whether the request about to begin was there before the last answer: the client has not waited for it
    /// (pipelining, RFC 9112, 9.3.2).
    pub(super) fn is_pipelined(&self) -> bool {
        !self.0.heard.load(Relaxed) && self.requests() > 0
    }

    /// A request was read. Its answer ends when the guard is dropped.
    pub(super) fn begin(&self) -> AnswerGuard {
        self.0.heard.store(false, Relaxed);
        self.0.handed_over.store(false, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        self.0.place.begin();
        AnswerGuard(self.clone())
    }
}

#[cfg(test)]
impl Tracker {
    /// The tracker of a connection that has the only place.
    pub(super) fn alone() -> Self {
        Self::new(crate::core::places::Places::new(1, 0, |_| false).open(([127, 0, 0, 1], 1).into()))
    }
}

/// Counts an answer as ended when dropped.
pub(super) struct AnswerGuard(Tracker);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.0.handed_over.store(true, Relaxed);
        self.0.0.ended.fetch_add(1, Relaxed);
    }
}

/// A body that holds the guard of its answer until it is dropped.
pub(super) struct TrackedBody<B> {
    pub(super) body: B,
    pub(super) answer: AnswerGuard,
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.answer.0.0.handed_over.store(frame.is_pending(), Relaxed);
        if frame.is_pending() {
            // The bytes to come are not known yet: a stream, which lasts as long as its client stays.
            self.answer.0.0.place.must_stay();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, StreamBody};
    use std::convert::Infallible;

    /// The first piece of a list was flushed, and the rest counted as written.
    #[tokio::test]
    async fn an_answer_is_handed_over_when_no_more_of_it_is_to_come() {
        let tracker = Tracker::alone();
        let pieces = ["a", "b"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let mut body = TrackedBody { body, answer: tracker.begin() };
        for _ in 0..2 {
            body.frame().await.unwrap().unwrap();
            assert!(!tracker.has_handed_over());
        }
        drop(body);
        assert!(tracker.has_handed_over() && !tracker.is_answering());
        let stream = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let mut stream = TrackedBody { body: stream, answer: tracker.begin() };
        assert!(!tracker.has_handed_over());
        assert!(futures_util::FutureExt::now_or_never(stream.frame()).is_none());
        assert!(tracker.has_handed_over(), "there is nothing yet");
    }
}
