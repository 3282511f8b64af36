//! Owns a reader of server-sent events that follows the HTML standard (9.2.6), written apart from the writer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One event, or another thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Event {
        name: String,
        id: String,
        data: String,
    },
    Comment,
    Retry(u64),
    /// The other side has closed.
    End,
}

/// An open stream. All that was read and not yet told is kept here: a call that is dropped while it waits loses nothing.
pub struct Events {
    stream: TcpStream,
    /// Read, and still in chunks.
    raw: Vec<u8>,
    /// Out of the chunks, and no whole line yet.
    text: Vec<u8>,
    /// The lines since the last empty one.
    block: Block,
    is_over: bool,
    pub status: u16,
    pub head: String,
    last_id: String,
}

/// The fields of the lines so far, up to an empty one.
#[derive(Default)]
struct Block {
    name: String,
    data: Vec<String>,
    retry: Option<u64>,
    comment: bool,
}

impl Events {
    /// Connects and reads the head.
    pub async fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        Self::try_open(address, path, headers).await.expect("no head")
    }

    /// The same of one that may be about to end: `None` where it does so first.
    pub async fn try_open(address: SocketAddr, path: &str, headers: &str) -> Option<Self> {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match timeout(LIMIT, stream.read_buf(&mut raw)).await.expect("no head") {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
        };
        let head = String::from_utf8(raw.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Self {
            stream,
            raw,
            text: Vec::new(),
            block: Block::default(),
            is_over: false,
            status,
            head: head.to_lowercase(),
            last_id: String::new(),
        })
    }

    /// The next thing that is no comment.
    pub async fn next(&mut self) -> Seen {
        let told = async {
            loop {
                match self.next_or_comment().await {
                    Seen::Comment => {}
                    seen => return seen,
                }
            }
        };
        timeout(LIMIT, told).await.expect("the stream only shows signs of life")
    }

    /// The next event's data.
    #[track_caller]
    pub fn data(seen: &Seen) -> &str {
        match seen {
            Seen::Event { data, .. } => data,
            other => panic!("no event: {other:?}"),
        }
    }

    pub async fn next_or_comment(&mut self) -> Seen {
        loop {
            while let Some(line) = self.line() {
                if let Some(seen) = self.take(&line) {
                    return seen;
                }
            }
            if self.is_over {
                return Seen::End;
            }
            if self.unpack() {
                continue;
            }
            // The only wait, and one that has read nothing when it is dropped.
            let read =
                timeout(LIMIT, self.stream.read_buf(&mut self.raw)).await.expect("the stream is silent");
            self.is_over = !matches!(read, Ok(1..));
        }
    }

    /// Takes a line; the event or the like that ends with it.
    fn take(&mut self, line: &str) -> Option<Seen> {
        if line.is_empty() {
            let block = std::mem::take(&mut self.block);
            return if !block.data.is_empty() {
                Some(Seen::Event { name: block.name, id: self.last_id.clone(), data: block.data.join("\n") })
            } else if let Some(retry) = block.retry {
                Some(Seen::Retry(retry))
            } else {
                block.comment.then_some(Seen::Comment)
            };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "" => self.block.comment = true,
            "event" => self.block.name = value,
            "data" => self.block.data.push(value),
            "id" => self.last_id = value,
            "retry" => self.block.retry = value.parse().ok(),
            other => panic!("an unknown field: {other}"),
        }
        None
    }

    /// The next whole line.
    fn line(&mut self) -> Option<String> {
        let end = self.text.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.text.drain(..=end).collect();
        line.pop();
        Some(String::from_utf8(line).unwrap())
    }

    /// Unpacks a chunk of the body (RFC 9112, 7.1), if there is a whole one.
    fn unpack(&mut self) -> bool {
        let Some(end) = self.raw.windows(2).position(|window| window == b"\r\n") else { return false };
        let size = std::str::from_utf8(&self.raw[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no size of a chunk: {size:?}"));
        let (start, end) = (end + 2, end + 2 + size);
        if self.raw.len() < end + 2 {
            return false;
        }
        self.text.extend_from_slice(&self.raw[start..end]);
        self.raw.drain(..end + 2);
        self.is_over = size == 0;
        true
    }
}

const LIMIT: Duration = Duration::from_secs(30);
