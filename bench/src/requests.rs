//! Owns the reading of requests without a body from a connection.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The requests of one connection, one after the other.
#[derive(Debug)]
pub struct Requests<S> {
    stream: S,
    head: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Requests<S> {
    /// Those that come by this stream.
    pub fn of(stream: S) -> Self {
        Self { stream, head: Vec::new() }
    }

    /// The next head, whole; `None` where the client has left.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn next(&mut self) -> std::io::Result<Option<String>> {
        self.head.clear();
        while !self.head.ends_with(b"\r\n\r\n") {
            if self.stream.read_buf(&mut self.head).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(String::from_utf8_lossy(&self.head).into_owned()))
    }

    /// The stream, to answer by.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}
