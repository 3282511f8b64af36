//! Owns the clients that watch tasks by server-sent events, with as little work as possible.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout};

use crate::Failure;
use crate::client::Door;
use crate::publisher::id;

/// Clients that open a stream at the same time.
const AT_ONCE: usize = 32;
/// The longest wait for the first event, and for a change.
const PATIENCE: Duration = Duration::from_secs(30);
/// The kernel's buffer of a client that does not read, in bytes.
const STALLED_BUFFER: u32 = 4096;

/// Streams that are open.
#[derive(Default)]
pub struct Watchers {
    /// Dropping it closes them.
    readers: JoinSet<()>,
    stalled: Vec<TcpStream>,
    fan_out: Arc<FanOut>,
}

/// The receipts of one change.
#[derive(Default)]
struct FanOut {
    seen: Mutex<Seen>,
    complete: Notify,
}

#[derive(Default)]
struct Seen {
    version: u64,
    begun: Option<Instant>,
    after: Vec<f64>,
    wanted: usize,
}

/// A stream that has begun.
pub struct Stream {
    socket: TcpStream,
    events: Events,
    /// Status line and headers.
    pub head: String,
    /// The length of the first state's event, in bytes.
    pub event: usize,
}

/// The events in the bytes of an answer.
#[derive(Default)]
struct Events {
    chunk: Option<Chunk>,
    pending: Vec<u8>,
}

/// A place in a chunked body (RFC 9112, section 7.1).
enum Chunk {
    Size(usize),
    Data(usize),
    /// The bytes of the line's end behind the data.
    End(usize),
}

impl Watchers {
    /// Opens so many streams of so many tasks.
    pub async fn open(&mut self, door: Door, count: usize, tasks: usize) -> Result<(), Failure> {
        for stream in streams(door, count, tasks, None).await? {
            self.readers.spawn(read(stream, Arc::clone(&self.fan_out)));
        }
        Ok(())
    }

    /// Opens streams that are never read after their first event.
    pub async fn open_stalled(&mut self, door: Door, count: usize, tasks: usize) -> Result<(), Failure> {
        let opened = streams(door, count, tasks, Some(STALLED_BUFFER)).await?;
        self.stalled.extend(opened.into_iter().map(|stream| stream.socket));
        Ok(())
    }

    /// Closes those that are open.
    pub async fn close(&mut self) {
        self.stalled.clear();
        self.readers.shutdown().await;
    }

    /// The number of streams that are read. One that was cut has left.
    pub fn count(&mut self) -> usize {
        while self.readers.try_join_next().is_some() {}
        self.readers.len()
    }

    /// From now on, receipts of this version count, and their times run.
    pub fn expect(&mut self, version: u64) {
        let wanted = self.count();
        *lock(&self.fan_out.seen) =
            Seen { version, begun: Some(Instant::now()), after: Vec::with_capacity(wanted), wanted };
    }

    /// Waits until all have received the version. The times of the receipts, in milliseconds.
    pub async fn received(&self) -> Vec<f64> {
        let complete = async {
            while !lock(&self.fan_out.seen).is_complete() {
                self.fan_out.complete.notified().await;
            }
        };
        // Those that are late are lost, and counted.
        let _ = timeout(PATIENCE, complete).await;
        std::mem::take(&mut lock(&self.fan_out.seen).after)
    }
}

/// Opens and closes streams for some time, each of which receives its first event. Returns their number.
pub async fn churn(door: Door, tasks: usize, time: Duration) -> Result<usize, Failure> {
    let end = Instant::now() + time;
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        clients.spawn(async move {
            let mut opened = 0;
            while Instant::now() < end {
                Stream::open(door, &id((client + opened) % tasks), None).await?;
                opened += 1;
            }
            io::Result::Ok(opened)
        });
    }
    let mut opened = 0;
    while let Some(client) = clients.join_next().await {
        opened += client??;
    }
    Ok(opened)
}

async fn streams(
    door: Door,
    count: usize,
    tasks: usize,
    buffer: Option<u32>,
) -> Result<Vec<Stream>, Failure> {
    let mut opened = Vec::with_capacity(count);
    let mut opening = JoinSet::new();
    for number in 0..count {
        if opening.len() == AT_ONCE
            && let Some(stream) = opening.join_next().await
        {
            opened.push(stream??);
        }
        opening.spawn(async move { Stream::open(door, &id(number % tasks), buffer).await });
    }
    while let Some(stream) = opening.join_next().await {
        opened.push(stream??);
    }
    Ok(opened)
}

/// Reads until the stream ends or breaks.
async fn read(mut stream: Stream, fan_out: Arc<FanOut>) {
    while stream.socket.readable().await.is_ok() {
        let mut part = [0; 16 * 1024];
        match stream.socket.try_read(&mut part) {
            Ok(length) if length > 0 => {
                stream.events.feed(&part[..length], |_, version| fan_out.saw(version));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

impl FanOut {
    fn saw(&self, version: u64) {
        let mut seen = lock(&self.seen);
        let Some(begun) = seen.begun.filter(|_| seen.version == version) else { return };
        seen.after.push(begun.elapsed().as_secs_f64() * 1e3);
        if seen.is_complete() {
            self.complete.notify_one();
        }
    }
}

impl Seen {
    fn is_complete(&self) -> bool {
        self.after.len() >= self.wanted
    }
}

impl Stream {
    /// Opens a stream, and reads its first event with a state.
    pub async fn open(door: Door, id: &str, buffer: Option<u32>) -> io::Result<Self> {
        timeout(PATIENCE, Self::begin(door, id, buffer)).await?
    }

    async fn begin(door: Door, id: &str, buffer: Option<u32>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let mut socket = socket.connect(door.address).await?;
        socket.set_nodelay(true)?;
        let credentials = door.credentials.map(|value| format!("Authorization: {value}\r\n"));
        let credentials = credentials.unwrap_or_default();
        let request = format!(
            "GET /v1/tasks/{id} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{credentials}\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::with_capacity(1024);
        let length = loop {
            if let Some(length) = position(&bytes, b"\r\n\r\n") {
                break length + 4;
            }
            if socket.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let lower = head.to_ascii_lowercase();
        if !lower.starts_with("http/1.1 200") || !lower.contains("text/event-stream") {
            return Err(io::Error::other(format!("no stream of {id}: {head}")));
        }
        let chunk = lower.contains("transfer-encoding: chunked").then_some(Chunk::Size(0));
        let mut stream = Self { socket, events: Events { chunk, pending: Vec::new() }, head, event: 0 };
        let (mut fresh, mut event) = (bytes.split_off(length), None);
        loop {
            stream.events.feed(&fresh, |length, _| event = Some(length));
            if let Some(length) = event {
                stream.event = length;
                return Ok(stream);
            }
            fresh.clear();
            fresh.reserve(1024);
            if stream.socket.read_buf(&mut fresh).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Events {
    /// Takes the next bytes, and tells length and version of each state's event that they complete.
    fn feed(&mut self, bytes: &[u8], mut saw: impl FnMut(usize, u64)) {
        let from = self.pending.len().saturating_sub(1);
        self.unwrap(bytes);
        let mut begin = 0;
        let mut searched = from;
        while let Some(end) = position(&self.pending[searched..], b"\n\n").map(|at| searched + at + 2) {
            let event = &self.pending[begin..end];
            if let Some(version) = version(event) {
                saw(event.len(), version);
            }
            (begin, searched) = (end, end);
        }
        self.pending.drain(..begin);
    }

    /// Adds the bytes without the frames of their chunks.
    fn unwrap(&mut self, mut bytes: &[u8]) {
        let Some(chunk) = &mut self.chunk else { return self.pending.extend_from_slice(bytes) };
        while let Some((first, rest)) = bytes.split_first() {
            match chunk {
                Chunk::Size(size) => {
                    if let Some(digit) = char::from(*first).to_digit(16) {
                        *size = *size * 16 + digit as usize;
                    } else if *first == b'\n' {
                        *chunk = Chunk::Data(*size);
                    }
                    bytes = rest;
                }
                Chunk::Data(left) => {
                    let (data, rest) = bytes.split_at(bytes.len().min(*left));
                    self.pending.extend_from_slice(data);
                    *left -= data.len();
                    if *left == 0 {
                        *chunk = Chunk::End(2);
                    }
                    bytes = rest;
                }
                Chunk::End(left) => {
                    *left -= 1;
                    if *left == 0 {
                        *chunk = Chunk::Size(0);
                    }
                    bytes = rest;
                }
            }
        }
    }
}

/// The version in the data of an event; a heartbeat has none.
fn version(event: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"at\":";
    let from = position(event, NAME)? + NAME.len();
    let digits = event.get(from..)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
