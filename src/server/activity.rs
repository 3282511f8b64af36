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
    /// The latest request has its response, whose body may still have to come.
    responded: AtomicBool,
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
        let (begun, ended, heard, blocked, responded) = Default::default();
        Self(Arc::new(Counts { place, begun, ended, heard, blocked, responded }))
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
        }
    }

    /// A write waits for room in the socket (backpressure), or no longer does.
    pub(super) fn blocked(&self, is_blocked: bool) {
        self.0.blocked.store(is_blocked, Relaxed);
    }

    /// The latest request has its response.
    pub(super) fn respond(&self) {
        self.0.responded.store(true, Relaxed);
    }

    /// Whether the latest request has its response: what is flushed from then on is that.
    pub(super) fn has_responded(&self) -> bool {
        self.0.responded.load(Relaxed)
    }

    /// A request was read. Its answer ends when the guard is dropped.
    pub(super) fn begin(&self) -> AnswerGuard {
        self.0.heard.store(false, Relaxed);
        self.0.responded.store(false, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        self.0.place.begin();
        AnswerGuard(self.clone())
    }
}

/// Counts an answer as ended when dropped.
pub(super) struct AnswerGuard(Tracker);

impl AnswerGuard {
    /// The response is there; its body may still have to come.
    pub(super) fn respond(&self) {
        self.0.respond();
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
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
