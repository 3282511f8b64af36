//! Owns the timeout of connections whose client has stopped reading: a write that makes no progress for
//! `write_stall_timeout` fails, and the connection with it. hyper alone would wait for ever. Reads and
//! blocked writes are reported to the connection's [`Tracker`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Sleep, sleep};

use super::activity::Tracker;
use super::gather;
use super::limits::MAX_HEAD;
use crate::core::places::{Manner, Place};

/// Larger heads are counted, in bytes.
const ORDINARY_HEAD: usize = 8 * 1024;

/// A stream whose stalled writes time out.
pub(super) struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    tracker: Tracker,
    place: Arc<Place>,
    /// Bytes of the head that is being read, behind so many requests.
    head: usize,
    requests: u32,
    give_up: fn(&S),
    /// The timeout's timer, while a write waits for room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    /// `give_up` is called before a stalled write fails.
    pub(super) fn new(
        stream: S,
        timeout: Duration,
        tracker: Tracker,
        place: Arc<Place>,
        give_up: fn(&S),
    ) -> Self {
        Self { stream, timeout, tracker, place, head: 0, requests: 0, give_up, stalled: None }
    }

    /// Returns the result of a write, or a timeout where it has made no progress for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            if self.stalled.take().is_some() {
                self.tracker.blocked(false);
            }
            return write;
        }
        let timeout = self.timeout;
        self.tracker.blocked(true);
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        (self.give_up)(&self.stream);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has stopped reading")))
    }
}

impl<S> Drop for WriteTimeout<S> {
    fn drop(&mut self) {
        if self.place.manner() == Some(Manner::AtOnce) {
            (self.give_up)(&self.stream);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let length = buf.filled().len() - before;
        if length > 0 {
            self.tracker.heard();
            let requests = self.tracker.requests();
            let before = if self.requests == requests { self.head } else { 0 };
            self.head = before + length;
            self.requests = requests;
            // The buffer for an ordinary head is a part of what each connection may take. A larger one is held once,
            // as the largest that may come.
            let grows_large = before <= ORDINARY_HEAD && self.head > ORDINARY_HEAD;
            if grows_large && self.place.hold_head(MAX_HEAD).is_err() {
                let full = io::Error::new(io::ErrorKind::OutOfMemory, "too many large heads are being read");
                return Poll::Ready(Err(full));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = gather::poll_write(Pin::new(&mut self.stream), cx, bufs);
        self.judge(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        // hyper flushes when its own buffer is written, also while a handler is still at work or more of a body is to
        // come.
        if flush.is_ready() && self.tracker.has_handed_over() {
            self.place.written();
        }
        self.judge(cx, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::places::Places;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn place() -> Arc<Place> {
        Places::new(1, 0, |_| false).open(([127, 0, 0, 1], 1).into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_progress_ends_after_the_timeout() {
        let (near, _far) = duplex(8);
        let mut near = WriteTimeout::new(near, TIMEOUT, Tracker::new(place()), place(), |_| {});
        let start = Instant::now();
        let error = near.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((TIMEOUT..TIMEOUT + Duration::from_secs(1)).contains(&start.elapsed()));
    }

    /// They counted with the length of their first part, and nothing behind an answer that was written.
    #[tokio::test]
    async fn large_heads_count_until_they_are_read() {
        let places = Places::new(9, MAX_HEAD as u64 + 1, |_| false);
        let connection = |port: u16| {
            let place = places.open(([127, 0, 0, 1], port).into());
            let (near, far) = duplex(2 * MAX_HEAD);
            let tracker = Tracker::new(Arc::clone(&place));
            (WriteTimeout::new(near, TIMEOUT, tracker.clone(), place, |_| {}), far, tracker)
        };
        let mut part = vec![0; ORDINARY_HEAD / 2 + 1];
        let (mut first, mut client, tracker) = connection(1);
        drop(tracker.begin());
        first.flush().await.unwrap();
        client.write_all(&vec![b'x'; ORDINARY_HEAD + 2]).await.unwrap();
        first.read_exact(&mut part).await.unwrap();
        first.read_exact(&mut part).await.unwrap();
        first.flush().await.unwrap();
        let (mut second, mut client, _) = connection(2);
        client.write_all(&vec![b'x'; ORDINARY_HEAD + 2]).await.unwrap();
        second.read_exact(&mut part).await.unwrap();
        let error = second.read_exact(&mut part).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        drop((first, tracker));
        let (mut third, mut client, _) = connection(3);
        client.write_all(&vec![b'x'; ORDINARY_HEAD + 2]).await.unwrap();
        third.read_exact(&mut part).await.unwrap();
        third.read_exact(&mut part).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn slow_progress_is_progress() {
        let (near, mut far) = duplex(8);
        let mut near = WriteTimeout::new(near, TIMEOUT, Tracker::new(place()), place(), |_| {});
        let reader = async {
            let mut byte = [0];
            for _ in 0..40 {
                sleep(TIMEOUT * 29 / 30).await;
                far.read_exact(&mut byte).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(near.write_all(&[0; 48]), reader);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_no_stall() {
        let (near, mut far) = duplex(8);
        let mut near = WriteTimeout::new(near, TIMEOUT, Tracker::new(place()), place(), |_| {});
        near.write_all(b"1").await.unwrap();
        sleep(TIMEOUT * 10).await;
        near.write_all(b"2").await.unwrap();
        let mut seen = [0; 2];
        far.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"12");
    }
}
