//! Owns the limits of a listener's connections.

use tokio::time::Duration;

/// The limits of a listener's connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The most connections at once. Further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// The longest time for a request's head to arrive, and for the first byte of a new connection.
    pub header_read_timeout: Duration,
    /// The longest time that a keep-alive connection stays idle before its next request.
    pub idle_timeout: Duration,
    /// The longest time that a write may make no progress.
    pub write_stall_timeout: Duration,
}
