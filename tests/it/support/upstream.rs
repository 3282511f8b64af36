//! Owns an upstream scripted by hand: it logs every byte it gets, and answers what it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::until;

/// The end of the connection after the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The next request on the same connection.
    KeepAlive,
    Close,
    /// A TCP reset.
    Reset,
    /// Nothing at all.
    Hang,
}

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub end: End,
    /// Held back until the other end is gone.
    pub held: Option<watch::Receiver<()>>,
}

impl Reply {
    /// A well-formed answer.
    pub fn new(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        Self::raw([head.as_bytes(), body.as_bytes()].concat(), End::KeepAlive)
    }

    pub fn json(body: &str) -> Self {
        Self::new(200, "", body)
    }

    /// These bytes, and then this end.
    pub fn raw(bytes: impl Into<Vec<u8>>, end: End) -> Self {
        Self { bytes: bytes.into(), end, held: None }
    }

    /// The same, held back until what this gives is dropped.
    pub fn held(self) -> (Self, watch::Sender<()>) {
        let (hold, held) = watch::channel(());
        (Self { held: Some(held), ..self }, hold)
    }
}

type Log = Arc<Mutex<Vec<(Instant, String)>>>;
type Script = dyn Fn(usize, &str) -> Reply + Send + Sync;

/// The upstream. Dropped, it is gone, and its port may soon be another program's.
pub struct Upstream {
    pub address: SocketAddr,
    port: ClosedPort,
    log: Log,
    open: Arc<AtomicUsize>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Upstream {
    /// Answers each request by `script`, which gets its number, from 0, and its bytes.
    #[expect(clippy::unused_async, reason = "it needs a runtime, as what is awaited has one")]
    pub async fn start(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(ClosedPort::new(), script)
    }

    /// As [`start`](Self::start), on a port that was closed until now.
    pub fn at(port: ClosedPort, script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let address = port.address;
        let listener = socket_on(address);
        listener.listen(1024).unwrap();
        let listener = TcpListener::from_std(listener.into()).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let (heard, opened) = (Arc::clone(&log), Arc::clone(&connections));
        let open = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&open);
        let acceptor = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = converse(stream, Arc::clone(&heard), Arc::clone(&script));
                let count = Arc::clone(&count);
                count.fetch_add(1, Ordering::SeqCst);
                opened.lock().unwrap().push(tokio::spawn(async move {
                    connection.await;
                    count.fetch_sub(1, Ordering::SeqCst);
                }));
            }
        });
        connections.lock().unwrap().push(acceptor);
        Self { address, port, log, open, connections }
    }

    /// Ends it. Nobody listens on its port as long as that is kept.
    pub fn close(mut self) -> ClosedPort {
        std::mem::replace(&mut self.port, ClosedPort::new())
    }

    /// Says the same every time.
    pub async fn always(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone()).await
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests heard so far, each as it came.
    pub fn heard(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|(_, request)| request.clone()).collect()
    }

    /// When each request came, and its path.
    pub fn times(&self) -> Vec<(Instant, String)> {
        let path = |request: &str| request.split(' ').nth(1).unwrap_or_default().to_owned();
        self.log.lock().unwrap().iter().map(|(at, request)| (*at, path(request))).collect()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub fn count(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// Waits until it has heard so many requests.
    pub async fn asked(&self, times: usize) {
        until("the upstream is asked", async || (self.count() >= times).then_some(())).await;
    }
}

/// A port of this machine on which nobody listens: a socket holds it, so that no other program gets it.
pub struct ClosedPort {
    pub address: SocketAddr,
    _held: Socket,
}

impl ClosedPort {
    pub fn new() -> Self {
        let held = socket_on(([127, 0, 0, 1], 0).into());
        Self { address: held.local_addr().unwrap().as_socket().unwrap(), _held: held }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A socket that shares its port with the others made here.
fn socket_on(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

impl Drop for Upstream {
    fn drop(&mut self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }
}

async fn converse(mut stream: TcpStream, log: Log, script: Arc<Script>) {
    let mut pending = Vec::new();
    loop {
        while !pending.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(length) => pending.extend_from_slice(&chunk[..length]),
            }
        }
        // Requests have no bodies: whatever came with the head is shown with it.
        let request = String::from_utf8_lossy(&std::mem::take(&mut pending)).into_owned();
        let number = {
            let mut log = log.lock().unwrap();
            log.push((Instant::now(), request.clone()));
            log.len() - 1
        };
        let reply = script(number, &request);
        if let Some(mut held) = reply.held {
            while held.changed().await.is_ok() {}
        }
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        match reply.end {
            End::KeepAlive => {}
            End::Close => return,
            End::Reset => {
                let _ = stream.flush().await;
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            End::Hang => {
                let mut rest = [0; 4096];
                while let Ok(1..) = stream.read(&mut rest).await {}
                return;
            }
        }
    }
}
