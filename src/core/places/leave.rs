//! Owns the request to a connection to give way.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use tokio::sync::Notify;

/// The manner in which a connection gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// Its answer is finished, a wait with the state that there is; then it is closed.
    Politely,
    /// At once: its client does not read.
    AtOnce,
}

/// The request to give way, and the futures that wait for it.
#[derive(Debug, Default)]
pub(super) struct Leave {
    asked: AtomicU8,
    told: Notify,
}

impl Leave {
    /// Asks the connection to give way.
    pub(super) fn ask(&self, manner: Manner) {
        let manner = match manner {
            Manner::Politely => 1,
            Manner::AtOnce => 2,
        };
        self.asked.fetch_max(manner, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    /// The manner in which the connection has to end, if it has to.
    pub(super) fn asked(&self) -> Option<Manner> {
        match self.asked.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Manner::Politely),
            _ => Some(Manner::AtOnce),
        }
    }

    /// Resolves when the connection has to give way, at least in this manner.
    pub(super) async fn asked_for(&self, manner: Manner) {
        let mut told = pin!(self.told.notified());
        let mut waits = false;
        poll_fn(|cx| {
            if self.asked() >= Some(manner) {
                return Poll::Ready(());
            }
            // A wake-up comes with the word, so nothing is missed.
            if !waits {
                waits = true;
                return told.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await;
    }
}
