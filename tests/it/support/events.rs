//! Owns a reader of server-sent events that follows the HTML standard (9.2.6), written apart from the writer.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
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

/// An open stream.
pub struct Events {
    lines: BufReader<TcpStream>,
    /// The bytes left of the chunk being read.
    left: usize,
    pub status: u16,
    pub head: String,
    last_id: String,
}

impl Events {
    /// Connects and reads the head.
    pub async fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                timeout(LIMIT, lines.read_line(&mut head)).await.unwrap().unwrap(),
                0,
                "no head: {head}"
            );
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { lines, left: 0, status, head: head.to_lowercase(), last_id: String::new() }
    }

    /// The next thing that is no comment.
    pub async fn next(&mut self) -> Seen {
        loop {
            match self.next_or_comment().await {
                Seen::Comment => {}
                seen => return seen,
            }
        }
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
        let (mut name, mut data, mut retry, mut comment) = (String::new(), Vec::new(), None, false);
        loop {
            let Some(line) = self.line().await else { return Seen::End };
            if line.is_empty() {
                if !data.is_empty() {
                    return Seen::Event { name, id: self.last_id.clone(), data: data.join("\n") };
                }
                if let Some(retry) = retry {
                    return Seen::Retry(retry);
                }
                if comment {
                    return Seen::Comment;
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" => comment = true,
                "event" => name = value,
                "data" => data.push(value),
                "id" => self.last_id = value,
                "retry" => retry = value.parse().ok(),
                other => panic!("an unknown field: {other}"),
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let byte = self.byte().await?;
            if byte == b'\n' {
                return Some(String::from_utf8(line).unwrap());
            }
            line.push(byte);
        }
    }

    /// One byte of the chunked body (RFC 9112, 7.1).
    async fn byte(&mut self) -> Option<u8> {
        if self.left == 0 {
            let mut size = String::new();
            let read = timeout(LIMIT, self.lines.read_line(&mut size)).await.expect("the stream is silent");
            if read.ok()? == 0 {
                return None;
            }
            self.left = usize::from_str_radix(size.trim(), 16).unwrap();
            if self.left == 0 {
                return None;
            }
        }
        let byte = self.lines.read_u8().await.ok()?;
        self.left -= 1;
        if self.left == 0 {
            let mut end = [0; 2];
            self.lines.read_exact(&mut end).await.ok()?;
        }
        Some(byte)
    }
}

const LIMIT: Duration = Duration::from_secs(30);
