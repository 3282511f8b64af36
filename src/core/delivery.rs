//! Owns the delivery of a state: whether a client has received it, and its rendered event.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

/// The delivery of one state to its clients.
#[derive(Debug, Default)]
pub struct Delivery {
    has_begun: AtomicBool,
    /// Boxed: most states are never watched.
    event: OnceLock<Box<Bytes>>,
}

impl Delivery {
    /// Notes that a client receives the state. Returns true for the first delivery, which is the one that the
    /// upstream was asked for; each later delivery saves an upstream request.
    pub fn is_first(&self) -> bool {
        !self.has_begun.load(Ordering::Relaxed) && !self.has_begun.swap(true, Ordering::Relaxed)
    }

    /// The state as a server-sent event, rendered once and shared by all watches.
    pub fn event(&self, render: impl FnOnce() -> Bytes) -> Bytes {
        Bytes::clone(self.event.get_or_init(|| Box::new(render())))
    }
}
