//! Owns a client's connection: keep-alive, one request at a time, and as little work as possible.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The address of a subject, and the credentials for it.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    pub address: SocketAddr,
    /// The value of `Authorization`.
    pub credentials: Option<&'static str>,
}

pub struct Connection {
    stream: BufReader<TcpStream>,
    credentials: Option<&'static str>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Status line and headers, unchanged.
    pub head: String,
    pub body: Vec<u8>,
}

impl Connection {
    pub async fn open(door: Door) -> io::Result<Self> {
        let stream = TcpStream::connect(door.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(2048, stream), credentials: door.credentials })
    }

    pub async fn get(&mut self, path: &str) -> io::Result<Answer> {
        let credentials = self.credentials.map(|value| format!("Authorization: {value}\r\n"));
        let credentials = credentials.unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credentials}\r\n");
        self.send(request.as_bytes()).await?;
        self.receive().await
    }

    /// Sends a whole request.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// The answer to the request that was sent.
    pub async fn receive(&mut self) -> io::Result<Answer> {
        let mut head = String::with_capacity(512);
        loop {
            let start = head.len();
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head.get(start..).is_some_and(|line| line.trim_end().is_empty()) {
                break;
            }
        }
        let mut answer = Answer { status: 0, head, body: Vec::new() };
        answer.status = answer
            .head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        match answer.header("content-length").map(str::parse) {
            Some(Ok(length)) => {
                answer.body = vec![0; length];
                self.stream.read_exact(&mut answer.body).await?;
            }
            _ if answer.header("transfer-encoding").is_some() => {
                self.receive_chunks(&mut answer.body).await?;
            }
            // Some subjects end the body of an error by closing the connection.
            _ => {
                self.stream.read_to_end(&mut answer.body).await?;
            }
        }
        Ok(answer)
    }

    async fn receive_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let length =
                usize::from_str_radix(line.trim_end(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).await?;
            chunk.truncate(length);
            body.append(&mut chunk);
            if length == 0 {
                return Ok(());
            }
        }
    }
}

impl Answer {
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(": "))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The connection stays open for another request.
    pub fn goes_on(&self) -> bool {
        self.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }

    /// A number in the body's JSON.
    pub fn number(&self, name: &str) -> Option<u64> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get(name)?.as_u64()
    }
}
