//! Owns the gate: whether the key may be used at all just now, and what opens it again.
//!
//! It closes for a 429 (until the time that names), for a rejected or exhausted key (asking again every
//! 30 s) and for an upstream that is down (the breaker, asking again every second). Each closure ends
//! with one probe: its answer opens the gate or closes it again.

use std::collections::HashSet;

use tokio::time::{Duration, Instant};

use crate::core::failure::{Failure, Scope};
use crate::core::task::TaskKey;

/// The longest wait a `Retry-After` can impose.
const MAX_HOLD: Duration = Duration::from_secs(300);
/// How often a key that was turned away is tried again.
const KEY_HOLD: Duration = Duration::from_secs(30);
/// How often an upstream that is down is tried again.
const BREAKER_HOLD: Duration = Duration::from_secs(1);
/// So many failures of the upstream in a row …
const BREAKER_FAILURES: u32 = 5;
/// … over at least so many tasks open the breaker: one sick task is not an outage.
const BREAKER_TASKS: usize = 3;

/// Whether requests may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// They may.
    Open,
    /// They may not.
    Closed {
        /// When a probe may go.
        until: Instant,
        /// What closed it.
        because: Failure,
    },
    /// One is under way to find out.
    Probing {
        /// What closed it.
        because: Failure,
    },
}

/// Which closure a request belongs to: an answer to a request sent before a closure says nothing
/// about what came after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    epoch: u64,
    probe: bool,
}

impl Pass {
    /// Whether the request finds out for all the others.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

/// What an answer did to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing worth telling.
    None,
    /// It closed, or a probe failed.
    Closed {
        /// When the next probe may go.
        until: Instant,
        /// What closed it.
        because: Failure,
    },
    /// A probe was answered.
    Opened {
        /// What had closed it.
        because: Failure,
    },
}

/// The gate and the breaker's count.
#[derive(Debug)]
pub struct Gate {
    position: Position,
    epoch: u64,
    /// Closures in a row by a 429 that named no time.
    unnamed: u32,
    failures_in_a_row: u32,
    failed: HashSet<TaskKey>,
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self { position: Position::Open, epoch: 0, unnamed: 0, failures_in_a_row: 0, failed: HashSet::new() }
    }

    /// How it stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether a request may go now, the bucket aside.
    pub fn admits(&self, now: Instant) -> bool {
        match self.position {
            Position::Open => true,
            Position::Closed { until, .. } => until <= now,
            Position::Probing { .. } => false,
        }
    }

    /// Lets a request through that [`admits`](Self::admits) allowed. At a closed gate it is the probe.
    pub fn pass(&mut self) -> Pass {
        let probe = match self.position {
            Position::Open => false,
            Position::Closed { because, .. } | Position::Probing { because } => {
                self.position = Position::Probing { because };
                self.epoch += 1;
                true
            }
        };
        Pass { epoch: self.epoch, probe }
    }

    /// Lets the next probe go at once, where the account had closed the gate: it may have a new key now.
    pub fn retry_account(&mut self, now: Instant) {
        if let Position::Closed { until, because: Failure::KeyRejected | Failure::QuotaExhausted } =
            &mut self.position
        {
            *until = now.min(*until);
        }
    }

    /// Learns what became of a request.
    pub fn settle(&mut self, now: Instant, pass: Pass, task: &TaskKey, failure: Option<Failure>) -> Change {
        match failure.map(|failure| (failure, failure.scope())) {
            None | Some((_, Scope::Task)) => self.answered(pass),
            Some((failure, Scope::Account)) => self.turned_away(now, pass, failure),
            Some((failure, Scope::Service)) => self.failed(now, pass, task, failure),
        }
    }

    fn answered(&mut self, pass: Pass) -> Change {
        if pass.epoch == self.epoch {
            self.failures_in_a_row = 0;
            self.failed.clear();
        }
        match self.position {
            Position::Probing { because } if pass.probe && pass.epoch == self.epoch => {
                self.position = Position::Open;
                self.unnamed = 0;
                Change::Opened { because }
            }
            _ => Change::None,
        }
    }

    fn turned_away(&mut self, now: Instant, pass: Pass, failure: Failure) -> Change {
        let is_current = pass.epoch == self.epoch;
        let hold = match failure {
            Failure::RateLimited { retry_after: Some(named) } => named.min(MAX_HOLD),
            Failure::RateLimited { retry_after: None } => {
                let hold = Duration::from_secs(1 << self.unnamed.min(9)).min(MAX_HOLD);
                self.unnamed += u32::from(is_current);
                hold
            }
            _ => KEY_HOLD,
        };
        match self.position {
            // An outage that turns out to be a refusal as well: the refusal is what has to be obeyed.
            Position::Closed { until, because } if because.scope() == Scope::Service => {
                self.close(until.max(now + hold), failure)
            }
            // A straggler sent before the closure: it may only lengthen it.
            Position::Closed { until, because } => {
                self.position = Position::Closed { until: until.max(now + hold), because };
                Change::None
            }
            Position::Probing { because } if !is_current => {
                self.position = Position::Closed { until: now + hold, because };
                self.epoch += 1;
                Change::None
            }
            _ => self.close(now + hold, failure),
        }
    }

    fn failed(&mut self, now: Instant, pass: Pass, task: &TaskKey, failure: Failure) -> Change {
        if pass.epoch != self.epoch {
            return Change::None;
        }
        if pass.probe && matches!(self.position, Position::Probing { .. }) {
            return self.close(now + BREAKER_HOLD, failure);
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.failed.len() < BREAKER_TASKS {
            self.failed.insert(task.clone());
        }
        if self.position == Position::Open
            && self.failures_in_a_row >= BREAKER_FAILURES
            && self.failed.len() >= BREAKER_TASKS
        {
            return self.close(now + BREAKER_HOLD, failure);
        }
        Change::None
    }

    fn close(&mut self, until: Instant, because: Failure) -> Change {
        self.epoch += 1;
        self.failures_in_a_row = 0;
        self.failed.clear();
        self.position = Position::Closed { until, because };
        Change::Closed { until, because }
    }
}
