//! Owns the signals that end the program.

use std::io;

/// Resolves at SIGTERM (Docker, systemd) or SIGINT (Ctrl-C).
#[expect(clippy::disallowed_methods, reason = "the one place that listens for them")]
pub(super) async fn until_asked_to_stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
