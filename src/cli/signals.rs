//! Owns the signals: those that end the program, and the one that asks it to read its settings again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves at SIGTERM (Docker, systemd) or SIGINT (Ctrl-C).
#[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
pub(super) async fn until_asked_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// SIGHUP. Once this was called, it no longer ends the program.
#[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
pub(super) fn hangup() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
