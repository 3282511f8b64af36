//! Owns what a connection and the handlers of its requests know of the client: its address, and whether it must
//! stay to get its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The client of one connection. Clones name the same client.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    must_stay: AtomicBool,
}

impl Peer {
    /// The client at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Shared { address, must_stay: AtomicBool::new(false) }))
    }

    /// The address of the client, or of the proxy in front of it.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// The request under way lasts as long as its client likes: a long-poll, a stream. A client that ends its
    /// side of the connection meanwhile has left. After any other request it may end its side, and is answered.
    pub fn must_stay(&self) {
        self.0.must_stay.store(true, Relaxed);
    }

    /// Whether the request under way is such a one.
    pub(crate) fn has_to_stay(&self) -> bool {
        self.0.must_stay.load(Relaxed)
    }

    /// Begins the next request, which may be any.
    pub(crate) fn begin(&self) {
        self.0.must_stay.store(false, Relaxed);
    }
}
