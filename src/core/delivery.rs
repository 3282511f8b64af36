//! Owns what handing out a state leaves behind: whether anybody was given it, and its form as an event.

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
    /// Notes that the state is handed out. True the first time: that client's request is the one the upstream was
    /// asked for, and every later one is saved.
    pub fn is_first(&self) -> bool {
        !self.has_begun.load(Ordering::Relaxed) && !self.has_begun.swap(true, Ordering::Relaxed)
    }

    /// The state as a server-sent event: rendered once, shared by all who watch.
    pub fn event(&self, render: impl FnOnce() -> Bytes) -> Bytes {
        Bytes::clone(self.event.get_or_init(|| Box::new(render())))
    }
}
