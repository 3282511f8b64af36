//! Owns the signals: those that end the program, and the one that asks it to read its settings again. Listened
//! for before the program says that it is ready: a signal without a listener would kill it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM (Docker, systemd) and SIGINT (Ctrl-C).
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// From now on they no longer end the program by themselves.
    #[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves when one of them has come.
    pub(super) async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP. From now on it no longer ends the program.
#[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
pub(super) fn hangup() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
