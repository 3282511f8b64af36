//! Owns the limits of a listener's connections.

use tokio::time::Duration;

/// Sockets beyond `max_connections` that may be open for a moment: connections that show whose they are, and those that
/// are about to give way.
pub fn sockets_beyond(max_connections: usize) -> usize {
    (max_connections / 2).min(128)
}

/// The longest request head, and the most that is buffered of an answer whose client reads slowly, in bytes.
/// Enough for a list of a hundred of the longest paths beside a ticket of 8 KiB. (hyper also takes at most a
/// hundred header fields.)
pub(super) const MAX_HEAD: usize = 32 * 1024;

/// The time that a connection which gives way has to write its answer, until it is looked at whether its client reads.
pub(super) const GIVING_WAY: Duration = Duration::from_secs(5);

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
