//! Owns the origin's connections: the least of HTTP/1.1 that keeps them open.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::script::{KEY, Script};

/// The length of a film, in bytes.
pub const FILM: usize = 100_000_000;

/// Serves connections until it is dropped.
pub async fn serve(listener: TcpListener, script: Arc<Script>) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, Arc::clone(&script)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, script: Arc<Script>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(2048, stream);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let id = path.rsplit('/').next().unwrap_or_default().to_owned();
        // Pushpin asks here for what it is to do with a client.
        let path_is_held = path.starts_with("/v1/held/");
        let mut has_key = false;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            let header = text.split_once(':').map(|(name, value)| (name, value.trim()));
            has_key |= header
                .is_some_and(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == KEY);
        }
        if id == "content" && has_key {
            film(stream.get_mut()).await?;
            continue;
        }
        let answer =
            if path_is_held { script.changes.hold_answer(&id) } else { script.answer(&id, has_key).await };
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Sends a film.
async fn film(stream: &mut TcpStream) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {FILM}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let part = vec![7; 256 * 1024];
    let mut left = FILM;
    while left > 0 {
        let length = left.min(part.len());
        stream.write_all(&part[..length]).await?;
        left -= length;
    }
    Ok(())
}
