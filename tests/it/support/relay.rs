//! Owns a relay before a gateway: it can cut every connection, lead to another gateway, and tell what passed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The relay. Dropped, all its connections are cut.
pub struct Relay {
    pub address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    passed: Arc<Mutex<Vec<Passed>>>,
    acceptor: JoinHandle<()>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// The bytes that one connection carried, each way.
#[derive(Debug, Default)]
struct Passed {
    requests: Vec<u8>,
    answers: Vec<u8>,
}

impl Relay {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let (passed, connections) = (Arc::<Mutex<Vec<Passed>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (leads_to, log, open) = (Arc::clone(&target), Arc::clone(&passed), Arc::clone(&connections));
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(Passed::default());
                    log.len() - 1
                };
                let connection = carry(client, Arc::clone(&leads_to), Arc::clone(&log), number);
                open.lock().unwrap().push(tokio::spawn(connection));
            }
        });
        Self { address, target, passed, acceptor, connections }
    }

    /// Ends every connection in the middle of whatever it carries.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// Leads new connections to another gateway.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    /// How many GET requests passed.
    pub fn requests(&self) -> usize {
        let passed = self.passed.lock().unwrap();
        passed.iter().map(|passed| passed.requests().filter(|head| head.starts_with("GET ")).count()).sum()
    }

    /// The `Last-Event-ID` of every request for a stream, and the status it got.
    pub fn streams(&self) -> Vec<(Option<String>, u16)> {
        let passed = self.passed.lock().unwrap();
        passed.iter().flat_map(Passed::streams).collect()
    }
}

impl Passed {
    fn requests(&self) -> impl Iterator<Item = String> {
        let text = String::from_utf8_lossy(&self.requests).into_owned();
        text.split("\r\n\r\n").map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    fn streams(&self) -> Vec<(Option<String>, u16)> {
        let answers = String::from_utf8_lossy(&self.answers);
        // A status line follows a body at once. No body of a test looks like one.
        let statuses = answers
            .split("\r\n")
            .filter_map(|line| line.split_once("HTTP/1.1 ")?.1.split(' ').next()?.parse().ok());
        self.requests()
            .filter(|head| head.starts_with("GET "))
            .zip(statuses)
            .filter(|(head, _)| head.contains("text/event-stream"))
            .map(|(head, status)| (header(&head, "last-event-id").or_else(|| parameter(&head)), status))
            .collect()
    }
}

fn header(head: &str, wanted: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim().to_owned())
}

/// The id in the URL, where polyfills put it.
fn parameter(head: &str) -> Option<String> {
    let id = head.split(' ').nth(1)?.split("lastEventId=").nth(1)?.split('&').next()?;
    Some(id.replace("%22", "\""))
}

async fn carry(
    client: TcpStream,
    target: Arc<Mutex<SocketAddr>>,
    log: Arc<Mutex<Vec<Passed>>>,
    number: usize,
) {
    let target = *target.lock().unwrap();
    let Ok(gateway) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_gateway, to_gateway) = gateway.into_split();
    tokio::join!(
        copy(from_client, to_gateway, |bytes| log.lock().unwrap()[number].requests.extend(bytes)),
        copy(from_gateway, to_client, |bytes| log.lock().unwrap()[number].answers.extend(bytes)),
    );
}

/// Carries one way to its end, and hands that on.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, tell: impl Fn(&[u8])) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        tell(&chunk[..length]);
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.cut();
    }
}
