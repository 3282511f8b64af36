//! Owns the parts that the admin listener's handlers share.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::auth::Auth;
use super::board::Board;
use crate::config::Settings;
use crate::core::budget::Budget;
use crate::http::gateway::Gateway;
use crate::lifecycle::Lifecycle;

/// The admin listener's handlers. Clones share the same parts.
#[derive(Clone)]
pub struct Admin(pub(super) Arc<Parts>);

pub(super) struct Parts {
    pub(super) gateway: Gateway,
    pub(super) budget: Budget,
    pub(super) lifecycle: Lifecycle,
    pub(super) auth: Auth,
    pub(super) board: Board,
    pub(super) started: Instant,
    pub(super) max_bytes: u64,
    pub(super) unusable: Diagnosis,
    pub(super) sharing: ReadSharing,
}

/// Tells why the upstream's answers cannot be used, if so.
pub type Diagnosis = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Reads what replicas share; `None` where this process shares with nobody.
pub type ReadSharing = Box<dyn Fn() -> Option<Sharing> + Send + Sync>;

/// The tier that replicas share, at one moment. Counts are since the start.
#[derive(Debug)]
pub struct Sharing {
    /// Why this replica is alone, if it is.
    pub alone: Option<String>,
    /// The replicas that are alive, this one included; 0 while it is alone.
    pub replicas: u32,
    /// Calls to Redis.
    pub calls: u64,
    /// Those that failed, or took too long.
    pub failed: u64,
    /// The mean duration of a call.
    pub mean: Option<Duration>,
    /// States that others had fetched.
    pub taken: u64,
}

impl Admin {
    /// The handlers that show these parts. The uptime begins now.
    pub fn new(
        settings: &Settings,
        gateway: Gateway,
        budget: Budget,
        lifecycle: Lifecycle,
        unusable: Diagnosis,
        sharing: ReadSharing,
    ) -> Self {
        let auth = Auth::new(settings, Arc::clone(&gateway.0.access));
        let (started, max_bytes) = (Instant::now(), settings.cache.max_bytes);
        let board = Board::new();
        Self(Arc::new(Parts {
            gateway,
            budget,
            lifecycle,
            auth,
            board,
            started,
            max_bytes,
            unusable,
            sharing,
        }))
    }
}
