//! Owns the rest of a stream of events, from its first pause on: chunks (RFC 9112, 7.1) and nothing else.
//!
//! hyper writes the head and all events until then. What it holds for a connection, two buffers of 8 KiB above all, an idle
//! stream does not need, and thousands of streams are idle.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::HttpBody;
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::{Duration, Instant, sleep};

use super::activity::Tracker;
use crate::core::places::{Manner, Place};
use crate::lifecycle::Lifecycle;

/// Larger pieces are written from where they are, in bytes.
const SMALL: usize = 2048;
/// So many bytes of small pieces are written at once.
const ENOUGH: usize = 16 * 1024;

/// A stream whose head is written.
pub(super) struct EventStream<S, B> {
    socket: S,
    /// `None` after its end.
    body: Option<B>,
    /// The bytes to write: these, then the large piece.
    small: BytesMut,
    large: Bytes,
    tracker: Tracker,
    place: Arc<Place>,
}

impl<S: AsyncWrite + Unpin, B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> EventStream<S, B> {
    pub(super) fn new(socket: S, body: B, tracker: Tracker, place: Arc<Place>) -> Self {
        Self { socket, body: Some(body), small: BytesMut::new(), large: Bytes::new(), tracker, place }
    }

    /// Writes events until the stream ends, its client leaves, or it has given way for `giving_way` and its client does
    /// not read.
    pub(super) async fn run(mut self, lifecycle: Lifecycle, giving_way: Duration) {
        if let Some(result) = self.until_it_has_to_leave(&lifecycle).await {
            return log(result);
        }
        let (place, tracker) = (Arc::clone(&self.place), self.tracker.clone());
        let mut leave = pin!(place.leave(Manner::AtOnce));
        let mut overdue = pin!(sleep(giving_way));
        loop {
            tokio::select! {
                biased;
                () = &mut leave => return,
                result = poll_fn(|cx| self.poll(cx)) => return log(result),
                () = &mut overdue => {
                    // Others wait for its socket, and its client does not read.
                    if tracker.is_blocked() {
                        return place.give_up();
                    }
                    overdue.as_mut().reset(Instant::now() + giving_way);
                }
            }
        }
    }

    /// The result of the stream, or `None` when its connection has to give way.
    async fn until_it_has_to_leave(&mut self, lifecycle: &Lifecycle) -> Option<io::Result<()>> {
        let place = Arc::clone(&self.place);
        // It wakes the task. The body sees by itself that it has to end.
        let mut told = pin!(async {
            tokio::select! {
                () = place.leave(Manner::Politely) => {}
                () = lifecycle.stopped() => {}
            }
        });
        let mut waits = false;
        poll_fn(|cx| {
            // Once: each event is a wake-up, and thousands of streams are in no cache.
            if !waits {
                waits = true;
                let _ = told.as_mut().poll(cx);
            }
            match self.poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if place.has_to_leave() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Ready when the stream has ended, and all of it is written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let pauses = self.collect(cx)?;
            ready!(self.write(cx))?;
            if self.body.is_none() {
                ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                return Pin::new(&mut self.socket).poll_shutdown(cx);
            }
            if pauses {
                ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }

    /// Takes events as long as there are some. Whether the body will wake the task for more.
    fn collect(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while self.large.is_empty() && self.small.len() < ENOUGH {
            let Some(body) = &mut self.body else { return Ok(false) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(frame)) => {
                    if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                        self.put(data);
                    }
                }
                Poll::Ready(None) => {
                    self.body = None;
                    self.small.extend_from_slice(b"0\r\n\r\n");
                }
            }
        }
        Ok(false)
    }

    /// Adds a chunk. An empty one would be the end.
    fn put(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.small.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        if data.len() > SMALL {
            self.large = data;
        } else {
            self.small.extend_from_slice(&data);
            self.small.extend_from_slice(b"\r\n");
        }
    }

    /// Writes what was collected.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !(self.small.is_empty() && self.large.is_empty()) {
            let socket = Pin::new(&mut self.socket);
            let written = if self.large.is_empty() {
                socket.poll_write(cx, &self.small)
            } else {
                socket.poll_write_vectored(cx, &[IoSlice::new(&self.small), IoSlice::new(&self.large)])
            };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_small = written.min(self.small.len());
            self.small.advance(of_small);
            if written > of_small {
                self.large.advance(written - of_small);
                if self.large.is_empty() {
                    self.small.extend_from_slice(b"\r\n");
                }
            }
        }
        // An idle stream holds no buffer.
        self.small = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

fn log(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a stream ended early");
    }
}
