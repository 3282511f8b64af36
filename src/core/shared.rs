//! Owns the port to what replicas share: one flight of a task, its newest state, the budget and the gate.
//!
//! A flight calls it twice: [`begin`](SharedTier::begin) before its request, and [`land`](SharedTier::land) after it. An
//! answer that is fresh in the store of this process needs no call. Where a call fails, the process goes on alone, with
//! its part of the budget. Each call answers within a time-out of the implementation's own.

use std::future::Future;
use std::pin::Pin;

use tokio::time::{Duration, Instant};

use super::failure::Failure;
use super::snapshot::Snapshot;
use super::state::State;
use super::task::TaskKey;

/// The shortest lease: it outlives some calls.
const SHORTEST_LEASE: Duration = Duration::from_millis(500);
/// The longest one.
const LONGEST_LEASE: Duration = Duration::from_secs(3);

/// The future of a call.
pub type Calling<'a, T> = Pin<Box<dyn Future<Output = Result<T, Alone>> + Send + 'a>>;

/// The shared tier did not answer, or not sensibly: the process goes on alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alone;

/// What replicas share.
pub trait SharedTier: Send + Sync + 'static {
    /// Asks whether a request may go upstream: for a task, or, without one, a request that is no flight.
    fn begin<'a>(&'a self, key: Option<&'a TaskKey>, terms: Terms) -> Calling<'a, Begun>;

    /// Holds for longer what the request that [`Begun::Go`] allowed holds: the lease of its task, and the probe. What it
    /// has lost stays lost.
    fn renew<'a>(&'a self, key: Option<&'a TaskKey>, owner: u64, lease: Duration) -> Calling<'a, ()>;

    /// Settles the request that [`Begun::Go`] allowed, and gives its lease back.
    fn land<'a>(&'a self, key: Option<&'a TaskKey>, landing: Landing<'a>) -> Calling<'a, Landed>;

    /// Forgets a task. The state of a flight under way is not kept.
    fn forget<'a>(&'a self, key: &'a TaskKey) -> Calling<'a, ()>;

    /// What is kept of a task at present.
    fn read<'a>(&'a self, key: &'a TaskKey) -> Calling<'a, Kept>;

    /// Waits for news of other replicas: the paths of tasks with their sequence numbers. A lost hint may come late, and
    /// none is lost while the tier answers.
    fn news<'a>(&'a self) -> Pin<Box<dyn Future<Output = Vec<News>> + Send + 'a>>;

    /// The number of processes among which the budget is divided while this one is alone.
    fn replicas(&self) -> u32;
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Random, of this request alone: it owns the lease and the probe.
    pub owner: u64,
    /// The sequence number of the state that is known already; 0 for none.
    pub known: u64,
    /// The number of this replica's clients that have a task due: its part of the turns.
    pub weight: u32,
    /// For how long the request holds its task, or the probe, unless it [renews](SharedTier::renew) that. `None`: the
    /// request belongs to another one, and can be no probe.
    pub lease: Option<Duration>,
}

/// The length of a lease. It is much shorter than a request may take: what a process held that has died is free while
/// those who wait for it still have time for a request of their own.
pub fn lease(timeout: Duration) -> Duration {
    (timeout / 4).clamp(SHORTEST_LEASE, LONGEST_LEASE)
}

/// The answer to [`SharedTier::begin`]: the first that holds.
#[derive(Debug)]
pub enum Begun {
    /// Another replica has brought a fresh state that was not known.
    Newer(SharedState),
    /// Another replica's flight is under way, until then at least: it may go on.
    Leased(Instant),
    /// The gate is closed.
    Closed {
        /// The time from which it is worth asking again.
        until: Instant,
        /// The failure that closed it.
        because: Failure,
    },
    /// There is no token before then, or it is another replica's turn.
    NotBefore(Instant),
    /// The request may go.
    Go(Clearance),
}

/// The right to send one request, given by the shared tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearance {
    /// The owner of the request.
    pub owner: u64,
    /// The sequence number of the state that it brings: later requests have larger ones.
    pub sequence: u64,
    /// Whether the request is the probe of a closed gate.
    pub is_probe: bool,
}

/// A state that came from another replica.
#[derive(Debug, Clone)]
pub struct SharedState {
    /// The answer of the upstream.
    pub snapshot: Box<Snapshot>,
    /// The time of the first answer about the task.
    pub first_seen: Instant,
}

/// The result of a request, for the other replicas.
#[derive(Debug, Clone, Copy)]
pub struct Landing<'a> {
    /// The clearance of the request.
    pub clearance: Clearance,
    /// The state, unless the request failed.
    pub state: Option<&'a State>,
    /// The change of the gate.
    pub gate: GateNews,
}

/// What the result of a request means to the gate of all replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateNews {
    /// Nothing.
    None,
    /// It closes, or stays closed for longer.
    Closed {
        /// For this long.
        hold: Duration,
        /// The failure that closes it.
        because: Failure,
    },
    /// The probe was answered: it opens.
    Opened,
    /// The probe has found out nothing: another one may go after this long.
    Undecided {
        /// For this long none does.
        hold: Duration,
    },
}

/// The answer to [`SharedTier::land`].
#[derive(Debug)]
pub enum Landed {
    /// The state is kept, or there was none to keep.
    Kept,
    /// Another state is kept: a terminal one, or that of a later flight.
    Other(SharedState),
    /// The task was forgotten meanwhile, and the state is not kept.
    Outdated,
}

/// What is kept of a task.
#[derive(Debug)]
pub enum Kept {
    /// Its newest state.
    State(SharedState),
    /// It was forgotten.
    Forgotten {
        /// The number at which it was: states of later requests have larger ones.
        sequence: u64,
        /// When it was: a state that was fetched without the tier has no number.
        at: Instant,
    },
    /// Nothing.
    Nothing,
}

/// A task has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The path of the task, as another process wrote it: not validated.
    pub path: String,
    /// The sequence number of the change.
    pub sequence: u64,
}
