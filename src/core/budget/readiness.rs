//! Owns the availability of a permit.

use tokio::time::Instant;

/// The availability of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// A permit is free now.
    Now,
    /// No permit is free before then.
    At(Instant),
    /// A permit is free when a request in flight has landed.
    Busy,
}
