//! Owns the signals: SIGTERM and SIGINT end the program, SIGHUP reloads its settings. Their handlers are
//! installed before the program logs that it is ready: without one, each of them kills the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM (Docker, systemd) and SIGINT (Ctrl-C).
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Installs the handlers: from now on these signals no longer kill the process.
    #[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    pub(super) async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Installs the handler of SIGHUP: from now on it no longer kills the process.
#[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
pub(super) fn hangup() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
