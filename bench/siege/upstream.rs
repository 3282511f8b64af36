//! Owns the upstream, where the first letter of an id chooses the behaviour of its task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use taskgate_bench::Requests;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// The body of a hit, in bytes.
const SIZE: usize = 461;
/// The body of a large task, in bytes.
const LARGE: usize = 1_000_000;
/// The body of a changing task, in bytes.
const RESTLESS: usize = 200_000;

/// The number of requests for each kind of task.
#[derive(Default)]
pub struct Asked {
    /// `h`: finished.
    pub hot: AtomicU64,
    /// `m`: not found, `l`: live.
    pub random: AtomicU64,
    /// `r`: a new state in each answer.
    pub restless: AtomicU64,
    /// `d`: finished and large, `c`: finished and somewhat smaller, `b`: live and large.
    pub large: AtomicU64,
}

/// Starts the upstream.
#[expect(clippy::disallowed_methods, reason = "a bench has no lifecycle, and the port is the upstream's own")]
pub async fn start() -> std::io::Result<(SocketAddr, Arc<Asked>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let asked = Arc::new(Asked::default());
    let counts = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&counts)));
        }
    });
    Ok((address, asked))
}

async fn converse(stream: TcpStream, asked: Arc<Asked>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = Requests::of(stream);
    while let Some(head) = requests.next().await? {
        if head.starts_with("GET /v1/videos/") {
            film(requests.stream()).await?;
            continue;
        }
        // GET /v1/tasks/x…
        let kind = head.as_bytes().get(b"GET /v1/tasks/".len()).copied().unwrap_or_default();
        requests.stream().write_all(answer(kind, &asked).as_bytes()).await?;
    }
    Ok(())
}

/// Sends a film of 100 MB, as fast as it is read.
async fn film(stream: &mut TcpStream) -> std::io::Result<()> {
    const LENGTH: usize = 100_000_000;
    let head = format!("HTTP/1.1 200 X\r\nContent-Type: video/mp4\r\nContent-Length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let part = vec![7; 64 * 1024];
    let mut left = LENGTH;
    while left > 0 {
        let length = left.min(part.len());
        stream.write_all(&part[..length]).await?;
        left -= length;
    }
    Ok(())
}

fn answer(kind: u8, asked: &Asked) -> String {
    let (count, code, status, size) = match kind {
        b'h' => (&asked.hot, 200, "completed", SIZE),
        b'm' => (&asked.random, 404, "missing", 100),
        b'r' => (&asked.restless, 200, "processing", RESTLESS),
        b'd' => (&asked.large, 200, "completed", LARGE),
        b'c' => (&asked.large, 200, "completed", LARGE * 6 / 10),
        b'b' => (&asked.large, 200, "processing", LARGE),
        _ => (&asked.random, 200, "processing", SIZE),
    };
    let number = count.fetch_add(1, Ordering::Relaxed);
    let mut body = format!(r#"{{"status":"{status}","n":{number},"x":""#);
    body.extend(std::iter::repeat_n('x', size.saturating_sub(body.len() + 2)));
    body.push_str("\"}");
    format!(
        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
