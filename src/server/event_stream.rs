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
use tokio::time::{Instant, sleep};

use super::activity::Tracker;
use super::limits::GIVING_WAY;
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

    /// Writes events until the stream ends, its client leaves, or it has to give way to others and its client does not
    /// read.
    pub(super) async fn run(mut self, lifecycle: Lifecycle) {
        if let Some(result) = self.until_it_has_to_leave(&lifecycle).await {
            return log(result);
        }
        let (place, tracker) = (Arc::clone(&self.place), self.tracker.clone());
        let mut leave = pin!(place.leave(Manner::AtOnce));
        let mut overdue = pin!(sleep(GIVING_WAY));
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
                    overdue.as_mut().reset(Instant::now() + GIVING_WAY);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::places::Places;
    use crate::server::{ConnectionLimits, serve_counted};
    use http::{Request, Response};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use std::collections::HashSet;
    use std::future::ready;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio::time::Duration;

    type Piece = Result<Bytes, &'static str>;

    /// A stream, its events, and its client's end, whose buffer takes so many bytes.
    fn stream(buffer: usize) -> (impl Future<Output = ()>, mpsc::Sender<Piece>, DuplexStream, Arc<Place>) {
        let place = Places::new(1, 0, |_| false).open(([127, 0, 0, 1], 1).into());
        let (near, far) = duplex(buffer);
        let (events, mut taken) = mpsc::channel::<Piece>(100);
        let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| {
            taken.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
        }));
        let tracker = Tracker::new(Arc::clone(&place));
        let stream = EventStream::new(near, body, tracker, Arc::clone(&place));
        (stream.run(Lifecycle::default()), events, far, place)
    }

    async fn sent(pieces: Vec<Piece>, buffer: usize) -> Vec<u8> {
        let (run, events, mut client, _) = stream(buffer);
        for piece in pieces {
            events.try_send(piece).unwrap();
        }
        drop(events);
        let mut all = Vec::new();
        let ((), read) = tokio::join!(run, client.read_to_end(&mut all));
        read.unwrap();
        all
    }

    fn chunk(data: &[u8]) -> Vec<u8> {
        [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
    }

    #[tokio::test]
    async fn chunks_are_whole_however_little_the_socket_takes() {
        let pieces: Vec<Vec<u8>> =
            [1, 15, 16, SMALL, SMALL + 1, 3 * ENOUGH, 7].map(|length| vec![b'x'; length]).into();
        let expected =
            [pieces.iter().flat_map(|piece| chunk(piece)).collect(), b"0\r\n\r\n".to_vec()].concat();
        for buffer in [1, 7, 4096, 1 << 20] {
            let pieces = pieces.iter().map(|piece| Ok(Bytes::from(piece.clone())));
            // An empty piece must not end the stream.
            let pieces = pieces.flat_map(|piece| [Ok(Bytes::new()), piece]).collect();
            assert!(sent(pieces, buffer).await == expected, "{buffer} bytes at a time");
        }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_has_no_end() {
        assert_eq!(sent(vec![Ok("a".into()), Err("broken")], 100).await, b"");
        let (run, events, mut client, _) = stream(100);
        events.try_send(Ok("a".into())).unwrap();
        let mut seen = [0; 6];
        tokio::select! {
            () = run => unreachable!("it waits for events"),
            read = client.read_exact(&mut seen) => drop(read.unwrap()),
        }
        assert_eq!(&seen, b"1\r\na\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_others_wait_for_ends_at_once_if_its_client_does_not_read() {
        let (run, events, _client, place) = stream(8);
        events.try_send(Ok(vec![b'x'; 100].into())).unwrap();
        let mut run = pin!(run);
        assert!(
            tokio::time::timeout(Duration::from_secs(60), &mut run).await.is_err(),
            "it is left to the write timeout"
        );
        place.give_up();
        tokio::time::timeout(Duration::from_secs(1), run).await.unwrap();
    }

    /// Otherwise its connection would keep hyper's buffers.
    #[tokio::test]
    async fn a_stream_that_pauses_goes_on_in_a_task_of_its_own() {
        let listener = TcpListener::from_std({
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            socket.listen(1).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.into()
        })
        .unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let polled = Arc::clone(&tasks);
        let (events, taken) = mpsc::channel::<Bytes>(100);
        let taken = Arc::new(Mutex::new(Some(taken)));
        let answer = move |_: Request<axum::body::Body>, place: Arc<Place>| {
            place.streams();
            let (mut taken, polled) = (taken.lock().unwrap().take().unwrap(), Arc::clone(&polled));
            ready(Response::new(StreamBody::new(futures_util::stream::poll_fn(move |cx| {
                polled.lock().unwrap().extend(tokio::task::try_id());
                taken.poll_recv(cx).map(|piece| piece.map(|piece| Ok::<_, BoxError>(Frame::data(piece))))
            }))))
        };
        let limits = ConnectionLimits {
            max_connections: 1,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(10),
        };
        let lifecycle = Lifecycle::default();
        let places = Places::new(1, u64::MAX, |_| false);
        drop(lifecycle.spawn(serve_counted(
            listener,
            answer,
            limits,
            places,
            lifecycle.clone(),
            Arc::default(),
        )));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut all = Vec::new();
        for word in ["first", "second", "third"] {
            events.send(word.into()).await.unwrap();
            while !String::from_utf8_lossy(&all).contains(word) {
                assert_ne!(client.read_buf(&mut all).await.unwrap(), 0);
            }
        }
        drop(events);
        client.read_to_end(&mut all).await.unwrap();
        let text = String::from_utf8(all).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert_eq!(body, "5\r\nfirst\r\n6\r\nsecond\r\n5\r\nthird\r\n0\r\n\r\n");
        let tasks: HashSet<_> = tasks.lock().unwrap().iter().copied().collect();
        assert_eq!(tasks.len(), 2, "hyper's task, and that of the stream");
        lifecycle.stop();
        assert!(lifecycle.drained(Duration::from_secs(5)).await);
    }
}
