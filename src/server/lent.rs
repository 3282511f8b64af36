//! Owns the body of a stream while hyper writes its beginning.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

/// Lends hyper the body of an answer.
pub(super) struct Lender<B>(Arc<Mutex<Option<B>>>);

/// A body as hyper has it.
pub(super) enum LentBody<B> {
    /// For good.
    Given(B),
    /// Until its lender takes it back.
    Lent(Lender<B>),
}

impl<B> Default for Lender<B> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<B> Clone for Lender<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> Lender<B> {
    /// Lends a body.
    pub(super) fn lend(&self, body: B) -> LentBody<B> {
        *self.0.lock() = Some(body);
        LentBody::Lent(self.clone())
    }

    /// Whether a body is lent, and has not ended.
    pub(super) fn lends(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Takes it back. hyper must not poll it any more.
    pub(super) fn take_back(&self) -> Option<B> {
        self.0.lock().take()
    }
}

impl<B: HttpBody + Unpin> HttpBody for LentBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.get_mut() {
            Self::Given(body) => Pin::new(body).poll_frame(cx),
            Self::Lent(lender) => {
                let mut lent = lender.0.lock();
                let Some(body) = lent.as_mut() else { return Poll::Ready(None) };
                let frame = Pin::new(body).poll_frame(cx);
                if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
                    *lent = None;
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Given(body) => body.is_end_stream(),
            Self::Lent(lender) => !lender.lends(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Given(body) => body.size_hint(),
            Self::Lent(_) => SizeHint::default(),
        }
    }
}
