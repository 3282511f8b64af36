//! Owns the handle of one connection: whose it is, what it waits for, and what its answers hold.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::leave::{Leave, Manner};
use super::table::Table;
use crate::core::grant::Client;

/// The smallest body that counts: smaller ones are within what a connection may take anyway, in bytes.
const LARGE: usize = 4 * 1024;

/// The connections of one listener. A clone is another handle to the same table.
#[derive(Clone)]
pub struct Places {
    table: Arc<Mutex<Table>>,
    is_proxy: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// There is no place, or no room, and no other client has to give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// One connection.
pub struct Place {
    places: Places,
    id: u64,
    peer: SocketAddr,
    leave: Arc<Leave>,
    /// The client of the last request: most requests of a connection are one client's.
    client: Mutex<Option<Client>>,
    /// Whether its answers hold bodies that are not written yet.
    holds: AtomicBool,
    must_stay: AtomicBool,
    streams: AtomicBool,
}

/// A request that waits. Such a connection gives way by answering early.
pub struct Waiting(Arc<Place>);

impl Places {
    /// At most `max` connections, whose answers hold at most `max_unread` bytes. `is_proxy` knows the proxies that
    /// carry the requests of many clients.
    pub fn new(
        max: usize,
        max_unread: u64,
        is_proxy: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { table: Arc::new(Mutex::new(Table::new(max, max_unread))), is_proxy: Arc::new(is_proxy) }
    }

    /// A connection has come. It has a place, or its first head to show whose it is.
    pub fn open(&self, peer: SocketAddr) -> Arc<Place> {
        let leave = Arc::<Leave>::default();
        let id =
            self.table.lock().open(&Client::at(peer.ip()), (self.is_proxy)(peer.ip().to_canonical()), &leave);
        Arc::new(Place {
            places: self.clone(),
            id,
            peer,
            leave,
            client: Mutex::default(),
            holds: AtomicBool::default(),
            must_stay: AtomicBool::default(),
            streams: AtomicBool::default(),
        })
    }
}

impl Place {
    /// The address of the peer.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Says whose request the connection carries now.
    ///
    /// # Errors
    /// [`Full`]: there is no place for this client.
    pub fn claim(&self, client: &Client) -> Result<(), Full> {
        let mut last = self.client.lock();
        if last.as_ref() == Some(client) {
            return Ok(());
        }
        if !self.places.table.lock().claim(self.id, client) {
            return Err(Full);
        }
        *last = Some(client.clone());
        Ok(())
    }

    /// The request under way lasts as long as its client likes: a long-poll, a stream. A client that ends its side of the
    /// connection meanwhile has left. After any other request it may end its side, and is answered.
    pub fn must_stay(&self) {
        self.must_stay.store(true, Ordering::Relaxed);
    }

    /// Whether the request under way is such a one.
    pub fn has_to_stay(&self) -> bool {
        self.must_stay.load(Ordering::Relaxed)
    }

    /// The answer to the request under way is a stream of events: it has no end that is known, and mostly it waits.
    pub fn streams(&self) {
        self.streams.store(true, Ordering::Relaxed);
    }

    /// Whether the answer to the request under way is a stream of events.
    pub fn is_streaming(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// The next request begins, which may be any.
    pub fn begin(&self) {
        self.must_stay.store(false, Ordering::Relaxed);
        self.streams.store(false, Ordering::Relaxed);
    }

    /// A request begins to wait, until the value is dropped.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.places.table.lock().wait(self.id, true);
        Waiting(Arc::clone(self))
    }

    /// An answer holds this body until it is written.
    ///
    /// # Errors
    /// [`Full`]: there is no room for it.
    pub fn hold(&self, body: &Bytes) -> Result<(), Full> {
        self.hold_bytes(body.as_ptr() as usize, body.len())
    }

    /// A head that is being read takes so many bytes.
    ///
    /// # Errors
    /// [`Full`]: there is no room for them.
    pub fn hold_head(&self, length: usize) -> Result<(), Full> {
        self.hold_bytes(std::ptr::from_ref(self) as usize, length)
    }

    fn hold_bytes(&self, address: usize, length: usize) -> Result<(), Full> {
        if length < LARGE {
            return Ok(());
        }
        self.holds.store(true, Ordering::Relaxed);
        let peer = Client::at(self.peer.ip());
        let is_held = self.places.table.lock().hold(self.id, &peer, address, length as u64);
        if is_held { Ok(()) } else { Err(Full) }
    }

    /// Everything that was to be written is.
    pub fn written(&self) {
        // A look first: each answer is flushed, and few hold anything.
        if self.holds.load(Ordering::Relaxed) && self.holds.swap(false, Ordering::Relaxed) {
            self.places.table.lock().written(self.id);
        }
    }

    /// Whether the connection has to give way.
    pub fn has_to_leave(&self) -> bool {
        self.leave.asked().is_some()
    }

    /// The manner in which the connection has to end, if it has to give way.
    pub fn manner(&self) -> Option<Manner> {
        self.leave.asked()
    }

    /// The connection has given way too slowly: it ends at once.
    pub fn give_up(&self) {
        self.leave.ask(Manner::AtOnce);
    }

    /// Resolves when the connection has to give way, at least in this manner. For a task that other things wake often:
    /// to go on waiting costs it a look. Not to be handed to another task.
    pub async fn leave(&self, manner: Manner) {
        self.leave.asked_for(manner).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table.lock().close(self.id);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.places.table.lock().wait(self.0.id, false);
    }
}
