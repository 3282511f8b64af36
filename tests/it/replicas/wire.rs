//! Owns a relay before Redis, which does to connections what a network may do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They arrive.
    Pass,
    /// They arrive when this is over.
    Vanish,
    /// They arrive half a second late, each way.
    Late,
    /// Half of an answer arrives, and then the end of the connection.
    Break,
    /// Those of a subscription: the end of the connection. All others arrive.
    Unsubscribe,
}

/// The relay. Dropped, all its connections are cut.
pub struct Wire {
    pub address: SocketAddr,
    fate: watch::Sender<Fate>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fate = watch::Sender::new(Fate::Pass);
        let tasks = Arc::<Mutex<Vec<JoinHandle<()>>>>::default();
        let (fates, open) = (fate.subscribe(), Arc::clone(&tasks));
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                open.lock().unwrap().push(tokio::spawn(carry(client, target, fates.clone())));
            }
        });
        tasks.lock().unwrap().push(acceptor);
        Self { address, fate, tasks }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on, on all connections.
    pub fn becomes(&self, fate: Fate) {
        self.fate.send_replace(fate);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.tasks.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

async fn carry(client: TcpStream, target: SocketAddr, fates: watch::Receiver<Fate>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let subscribes = watch::Sender::new(false);
    // The end of one way is the end of both.
    tokio::select! {
        () = way(from_client, to_server, true, fates.clone(), &subscribes) => {}
        () = way(from_server, to_client, false, fates.clone(), &subscribes) => {}
        () = unsubscribed(fates, subscribes.subscribe()) => {}
    }
}

/// Waits until the connection is one of a subscription, and these are cut.
async fn unsubscribed(mut fates: watch::Receiver<Fate>, mut subscribes: watch::Receiver<bool>) {
    let _ = subscribes.wait_for(|subscribes| *subscribes).await;
    let _ = fates.wait_for(|fate| *fate == Fate::Unsubscribe).await;
}

async fn way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    is_request: bool,
    mut fates: watch::Receiver<Fate>,
    subscribes: &watch::Sender<bool>,
) {
    let (sender, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reading = async move {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            let bytes = &chunk[..length];
            if is_request && bytes.windows(9).any(|word| word.eq_ignore_ascii_case(b"SUBSCRIBE")) {
                subscribes.send_replace(true);
            }
            if fates.wait_for(|fate| *fate != Fate::Vanish).await.is_err() {
                return;
            }
            let fate = *fates.borrow();
            if fate == Fate::Break && !is_request {
                let _ = sender.send((Instant::now(), bytes[..length / 2].to_vec())).await;
                return;
            }
            let wait = if fate == Fate::Late { Duration::from_millis(500) } else { Duration::ZERO };
            if sender.send((Instant::now() + wait, bytes.to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
