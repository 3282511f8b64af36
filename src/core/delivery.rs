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

    /// The size of the event that is kept, in bytes.
    pub fn weight(&self) -> usize {
        self.event.get().map_or(0, |event| event.len())
    }

    /// The state as a server-sent event, rendered once and shared by all watches; and whether this call rendered it.
    pub fn event(&self, render: impl FnOnce() -> Bytes) -> (Bytes, bool) {
        let mut is_new = false;
        let event = self.event.get_or_init(|| {
            is_new = true;
            Box::new(render())
        });
        (Bytes::clone(event), is_new)
    }
}
