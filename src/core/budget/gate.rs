//! Owns the gate: whether requests may go upstream at all, and the probes that open it again.
//!
//! The gate closes for a 429 (until the time in its `Retry-After`), for a rejected or exhausted key (a probe
//! after a second, then every 30 s) and for an upstream that is down (the breaker, a probe every second, or after its
//! `Retry-After`). Each closure ends with one probe, whose answer opens the gate or closes it again.

use std::collections::HashSet;

use tokio::time::{Duration, Instant};

use crate::core::failure::{Failure, MAX_WAIT, Scope};
use crate::core::task::TaskKey;

/// The time until the first probe after the key was turned away: by another task, if there is one, because it may be
/// that one task's matter …
const FIRST_KEY_HOLD: Duration = Duration::from_secs(1);
/// … and the time between probes once a second task was turned away too.
const KEY_HOLD: Duration = Duration::from_secs(30);
/// The most tasks that are known to be turned away by themselves. If there are more, it is the key's matter again.
const MOST_LONE: usize = 100;
/// The time between probes of an upstream that is down.
const BREAKER_HOLD: Duration = Duration::from_secs(1);
/// The breaker opens after so many failures of the upstream in a row …
const BREAKER_FAILURES: u32 = 5;
/// … of at least so many tasks: one failing task is not an outage.
const BREAKER_TASKS: usize = 3;

/// The position of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Requests may go upstream.
    Open,
    /// No request may go upstream.
    Closed {
        /// The time from which a probe may go.
        until: Instant,
        /// The failure that closed the gate.
        because: Failure,
    },
    /// A probe is in flight.
    Probing {
        /// The failure that closed the gate.
        because: Failure,
    },
}

/// The closure to which a request belongs: the answer to a request that was sent before a closure says
/// nothing about the time after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    epoch: u64,
    probe: bool,
    /// The number of answers before the request.
    answers: u64,
}

impl Pass {
    /// Whether the request is a probe.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The change of the gate by an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// No change to report.
    None,
    /// The gate closed, or a probe failed.
    Closed {
        /// The time from which the next probe may go.
        until: Instant,
        /// The failure that closed the gate.
        because: Failure,
    },
    /// A probe was answered, and the gate opened.
    Opened {
        /// The failure that had closed the gate.
        because: Failure,
    },
}

/// The gate, with the counts of the breaker.
#[derive(Debug)]
pub struct Gate {
    position: Position,
    epoch: u64,
    /// Closures in a row by a 429 without `Retry-After`.
    unnamed: u32,
    /// The number of requests that were answered.
    answers: u64,
    failures_in_a_row: u32,
    failed: HashSet<TaskKey>,
    /// The only task that was turned away since the gate closed for the key.
    suspect: Option<TaskKey>,
    /// Tasks that were turned away while another one was not. They close the gate no more.
    lone: HashSet<TaskKey>,
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self {
            position: Position::Open,
            epoch: 0,
            unnamed: 0,
            answers: 0,
            failures_in_a_row: 0,
            failed: HashSet::new(),
            suspect: None,
            lone: HashSet::new(),
        }
    }

    /// The position of the gate.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether the gate lets a request through now.
    pub fn admits(&self, now: Instant) -> bool {
        match self.position {
            Position::Open => true,
            Position::Closed { until, .. } => until <= now,
            Position::Probing { .. } => false,
        }
    }

    /// Lets a request through that [`admits`](Self::admits) has allowed. At a closed gate the request is the
    /// probe.
    pub fn pass(&mut self) -> Pass {
        let probe = match self.position {
            Position::Open => false,
            Position::Closed { because, .. } | Position::Probing { because } => {
                self.position = Position::Probing { because };
                self.epoch += 1;
                true
            }
        };
        Pass { epoch: self.epoch, probe, answers: self.answers }
    }

    /// Lets the next probe go at once where a rejected or exhausted key had closed the gate: there may be a
    /// new key now.
    pub fn retry_account(&mut self, now: Instant) {
        if let Position::Closed { until, because: Failure::KeyRejected | Failure::QuotaExhausted } =
            &mut self.position
        {
            *until = now.min(*until);
        }
    }

    /// Whether the gate has neither closed nor opened since this pass was taken.
    pub fn is_current(&self, pass: Pass) -> bool {
        pass.epoch == self.epoch
    }

    /// A request was not sent after all. If it was the probe, another one may go at once.
    pub fn unsent(&mut self, now: Instant, pass: Pass) {
        if let Position::Probing { because } = self.position
            && pass.probe
            && pass.epoch == self.epoch
        {
            self.position = Position::Closed { until: now, because };
            self.epoch += 1;
        }
    }

    /// Another replica has found the upstream closed.
    pub fn closed_elsewhere(&mut self, until: Instant, because: Failure) -> Change {
        match self.position {
            Position::Open => self.close(until, because),
            Position::Closed { until: known, .. } => {
                self.position = Position::Closed { until: until.max(known), because };
                Change::None
            }
            // The answer of the probe, which is under way, says more.
            Position::Probing { .. } => Change::None,
        }
    }

    /// Records the result of a request.
    pub fn settle(&mut self, now: Instant, pass: Pass, task: &TaskKey, failure: Option<Failure>) -> Change {
        match failure.map(|failure| (failure, failure.scope())) {
            None => {
                self.lone.remove(task);
                let change = self.answered(pass);
                if matches!(change, Change::Opened { .. })
                    && let Some(suspect) = self.suspect.take().filter(|suspect| suspect != task)
                    && self.lone.len() < MOST_LONE
                {
                    self.lone.insert(suspect);
                }
                change
            }
            Some((_, Scope::Task)) => self.answered(pass),
            Some((failure, Scope::Account)) if self.is_lone(task, failure) => self.says_nothing(now, pass),
            Some((failure, Scope::Account)) => self.turned_away(now, pass, task, failure),
            Some((failure, Scope::Service)) => self.failed(now, pass, task, failure),
        }
    }

    /// Whether this is the failure of a task that is always turned away, while others are not.
    pub fn is_lone(&self, task: &TaskKey, failure: Failure) -> bool {
        failure.is_of_key() && self.lone.contains(task)
    }

    /// A request has ended that finds out nothing of the key: most often of a task that is always turned away.
    pub fn says_nothing(&mut self, now: Instant, pass: Pass) -> Change {
        if let Position::Probing { because } = self.position
            && pass.probe
            && pass.epoch == self.epoch
        {
            self.position = Position::Closed { until: now + FIRST_KEY_HOLD, because };
            self.epoch += 1;
        }
        Change::None
    }

    fn answered(&mut self, pass: Pass) -> Change {
        self.answers += 1;
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

    fn turned_away(&mut self, now: Instant, pass: Pass, task: &TaskKey, failure: Failure) -> Change {
        let is_current = pass.epoch == self.epoch;
        let hold = match (failure, failure.retry_after()) {
            (Failure::RateLimited { .. }, Some(named)) => named,
            (Failure::RateLimited { .. }, None) => {
                let hold = Duration::from_secs(1 << self.unnamed.min(9)).min(MAX_WAIT);
                self.unnamed += u32::from(is_current);
                hold
            }
            _ => self.key_hold(task),
        };
        match self.position {
            // The upstream refuses the key during an outage: the refusal must be obeyed.
            Position::Closed { until, because } if because.scope() == Scope::Service => {
                self.close(until.max(now + hold), failure)
            }
            // The request was sent before the closure: its answer may only lengthen the closure.
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

    /// A key was turned away for a task. While that has happened to no other one, the task's own pauses are enough.
    fn key_hold(&mut self, task: &TaskKey) -> Duration {
        let is_first = match self.position {
            Position::Open => true,
            Position::Closed { because, .. } | Position::Probing { because } => !because.is_of_key(),
        };
        if is_first {
            self.suspect = Some(task.clone());
        }
        if self.suspect.as_ref() == Some(task) {
            return FIRST_KEY_HOLD;
        }
        self.suspect = None;
        KEY_HOLD
    }

    fn failed(&mut self, now: Instant, pass: Pass, task: &TaskKey, failure: Failure) -> Change {
        if pass.epoch != self.epoch {
            return Change::None;
        }
        let hold = failure.retry_after().unwrap_or(BREAKER_HOLD).max(BREAKER_HOLD);
        if pass.probe && matches!(self.position, Position::Probing { .. }) {
            return self.close(now + hold, failure);
        }
        // An upstream that has answered others meanwhile is not down.
        if pass.answers != self.answers {
            return Change::None;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.failed.len() < BREAKER_TASKS {
            self.failed.insert(task.clone());
        }
        if self.position == Position::Open
            && self.failures_in_a_row >= BREAKER_FAILURES
            && self.failed.len() >= BREAKER_TASKS
        {
            return self.close(now + hold, failure);
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
