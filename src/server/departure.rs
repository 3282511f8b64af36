//! Owns the notice that a client has left while it is being answered: a reset, or the end of its side of the
//! connection where it [must stay](crate::core::places::Place::must_stay).
//!
//! hyper reads nothing during an answer, lest a client that has only ended its side should get none. So the
//! stream looks at the socket's readiness itself, and takes no byte from it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio::time::{Duration, Sleep, sleep};

use super::activity::Tracker;

/// The time between two looks at a client that has sent more bytes, and so hides its departure: no event tells
/// of that before these bytes are read.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The most bytes that may lie unread behind a request whose client must stay. More would fill the kernel's
/// buffer, and then the end of the client's side cannot arrive either.
const MOST_UNREAD: usize = 32 * 1024;

/// A stream that fails, when it is flushed, if its client has left during an answer. hyper flushes each time
/// that the connection is polled.
pub(super) struct Watched {
    stream: TcpStream,
    tracker: Tracker,
    /// The time of the next look, while unread bytes hide the departure.
    next_look: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, tracker: Tracker) -> Self {
        Self { stream, tracker, next_look: None }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Fails if the client has left; else the task is woken when it may have.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if self.stream.poll_read_ready(cx)?.is_pending() {
                self.next_look = None;
                return Ok(());
            }
            let both = Interest::READABLE | Interest::WRITABLE;
            let ready = self.stream.ready(both).now_or_never().transpose()?;
            if ready.is_some_and(Ready::is_write_closed) {
                return Err(left("the client has reset the connection"));
            }
            if ready.is_some_and(Ready::is_read_closed) {
                return if self.tracker.must_stay() { Err(left("the client has left")) } else { Ok(()) };
            }
            let timer = self.next_look.get_or_insert_with(|| Box::pin(sleep(LOOK_AGAIN)));
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.next_look = None;
            if self.tracker.must_stay() && self.is_full(cx)? {
                return Err(left("the client sends more and more, and awaits no answer"));
            }
        }
    }

    /// Whether so much lies unread that the end of the client's side may be unable to arrive.
    fn is_full(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut unread = vec![0; MOST_UNREAD];
        match self.stream.poll_peek(cx, &mut ReadBuf::new(&mut unread)) {
            Poll::Ready(length) => Ok(length? == MOST_UNREAD),
            Poll::Pending => Ok(false),
        }
    }
}

fn left(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, why)
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket itself has nothing to flush.
        Poll::Ready(if self.tracker.is_answering() { self.check(cx) } else { Ok(()) })
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
