//! Owns the limits of a connection.

use tokio::time::Duration;

/// What a listener's connections may use.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at once; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// How long a request's head may take to arrive, and a new connection's first byte.
    pub header_read_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a write may make no progress.
    pub write_stall_timeout: Duration,
}
