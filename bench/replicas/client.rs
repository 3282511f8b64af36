//! Owns the clients: a plain request, and a watcher.

use std::net::SocketAddr;

use taskgate_bench::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

const LIMIT: Duration = Duration::from_secs(60);

/// The status and the body of an answer. An error: the connection was refused, or broke before the answer was whole.
pub async fn ask(address: SocketAddr, path: &str) -> Result<(u16, String), Failure> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").ok_or("it breaks off")?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        Ok((status, body.to_owned()))
    };
    timeout(LIMIT, asking).await?
}

/// A stream of events.
pub struct Watch {
    stream: TcpStream,
    text: String,
    pub status: u16,
}

/// One event: its name, its id and its data.
#[derive(Debug, Default)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
}

impl Watch {
    pub async fn open(address: SocketAddr, id: &str, last_id: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address).await?;
        let resume = if last_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_id}\r\n") };
        let head = format!(
            "GET /v1/tasks/{id} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nConnection: close\r\n{resume}\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut watch = Self { stream, text: String::new(), status: 0 };
        while !watch.text.contains("\r\n\r\n") {
            if !watch.read().await? {
                return Err("it breaks off".into());
            }
        }
        watch.status = watch.text.split(' ').nth(1).ok_or("no status")?.parse()?;
        let end = watch.text.find("\r\n\r\n").unwrap_or_default();
        watch.text.drain(..end + 4);
        Ok(watch)
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let mut event = Event::default();
                // Lines of chunked encoding are none of these.
                for line in block.lines() {
                    let Some((field, value)) = line.split_once(':') else { continue };
                    let value = value.strip_prefix(' ').unwrap_or(value);
                    match field {
                        "event" => value.clone_into(&mut event.name),
                        "id" => value.clone_into(&mut event.id),
                        "data" => event.data += value,
                        _ => {}
                    }
                }
                if !event.data.is_empty() {
                    return Ok(Some(event));
                }
            } else if !self.read().await? {
                return Ok(None);
            }
        }
    }

    async fn read(&mut self) -> Result<bool, Failure> {
        let mut bytes = [0; 4096];
        let length = timeout(LIMIT, self.stream.read(&mut bytes)).await??;
        self.text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        Ok(length > 0)
    }
}
