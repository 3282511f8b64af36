//! Owns the upstream: it counts, and a task has ended when it is told so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taskgate_bench::{Failure, Requests};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The upstream: the ends of its tasks, and the requests that it got.
#[derive(Default)]
pub struct Upstream {
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Ended tasks, and when that was first answered.
    ended: HashMap<String, Option<Instant>>,
    asked: Vec<Instant>,
}

impl Upstream {
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench has no lifecycle, and the port is the upstream's own"
    )]
    pub async fn start() -> Result<(SocketAddr, Arc<Self>), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let upstream = Arc::new(Self::default());
        let answering = Arc::clone(&upstream);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&answering)));
            }
        });
        Ok((address, upstream))
    }

    pub fn end(&self, id: &str) {
        self.notes().ended.entry(id.to_owned()).or_insert(None);
    }

    /// When the end of a task was first answered.
    pub fn told(&self, id: &str) -> Option<Instant> {
        *self.notes().ended.get(id)?
    }

    /// When each request came.
    pub fn asked(&self) -> Vec<Instant> {
        self.notes().asked.clone()
    }

    pub fn count(&self) -> usize {
        self.notes().asked.len()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, id: &str) -> String {
        let mut notes = self.notes();
        let now = Instant::now();
        notes.asked.push(now);
        let is_done =
            id.starts_with("done") || notes.ended.get_mut(id).map(|told| told.get_or_insert(now)).is_some();
        let status = if is_done { "completed" } else { "running" };
        format!(r#"{{"id":"{id}","status":"{status}"}}"#)
    }
}

async fn converse(stream: TcpStream, upstream: Arc<Upstream>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = Requests::of(stream);
    while let Some(head) = requests.next().await? {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let body = upstream.answer(path.rsplit('/').next().unwrap_or_default());
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        requests.stream().write_all((head + &body).as_bytes()).await?;
    }
    Ok(())
}
