//! Owns the picture of a key: the newest state or failure, seen by everyone who waits for it.
//!
//! Flights are numbered, so a waiter knows which landing answers it. A start wakes nobody; a landing
//! wakes all. `watch` and not `Notify` or `broadcast`: it loses neither wake-ups nor the newest value.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::cause::Cause;
use crate::core::failure::Failure;
use crate::core::snapshot::Phase;
use crate::core::state::State;

/// What a flight brought.
#[derive(Debug, Clone)]
pub enum FlightResult {
    /// A state, and whether it was kept.
    State {
        /// The state to hand out.
        state: Arc<State>,
        /// The status code the upstream sent with it.
        status: u16,
        /// Whether it was put into the store.
        stored: bool,
    },
    /// None.
    Failure(Failure),
}

/// One moment of the picture.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// How many flights have started.
    pub started: u64,
    /// The number of the last flight that landed.
    pub landed: u64,
    /// What it brought.
    pub result: Option<FlightResult>,
    /// Whether it is too late to wait for another.
    pub closed: bool,
}

/// The coordinator's end: it publishes.
#[derive(Debug)]
pub struct Picture {
    frames: watch::Sender<Frame>,
    /// The first flight that answers somebody who asks now.
    answers_from: u64,
    /// What the next flight was asked for by: its log lines name the request.
    cause: Option<Cause>,
}

impl Picture {
    /// A picture of nothing yet.
    pub fn new() -> Self {
        Self { frames: watch::Sender::new(Frame::default()), answers_from: 1, cause: None }
    }

    /// Follows it.
    pub fn subscribe(&self) -> watch::Receiver<Frame> {
        self.frames.subscribe()
    }

    /// The number of the flight that answers somebody who asks now: the one under way, else the next.
    pub fn answering_flight(&self) -> u64 {
        self.answers_from
    }

    /// Somebody asks: the first to do so since the last start is the cause of the next flight.
    pub fn ask(&mut self) {
        if self.cause.is_none() && self.answers_from > self.frames.borrow().started {
            self.cause = Some(Cause::current());
        }
    }

    /// What caused the flight that starts now.
    pub fn take_cause(&mut self) -> Cause {
        self.cause.take().unwrap_or_default()
    }

    /// Whether somebody waits for what comes.
    pub fn is_watched(&self) -> bool {
        self.frames.receiver_count() > 0
    }

    /// When the task ended, if that is what was told last.
    pub fn ended(&self) -> Option<Instant> {
        match &self.frames.borrow().result {
            Some(FlightResult::State { state, stored: true, .. })
                if state.snapshot.phase == Phase::Terminal =>
            {
                Some(state.snapshot.fetched)
            }
            _ => None,
        }
    }

    /// Whether the flight under way no longer answers those who ask now.
    pub fn is_outdated(&self) -> bool {
        self.answers_from > self.frames.borrow().started
    }

    /// A flight starts.
    pub fn start(&mut self) {
        self.frames.send_if_modified(|frame| {
            frame.started += 1;
            false
        });
    }

    /// The flight under way has landed.
    pub fn land(&mut self, result: FlightResult) {
        self.frames.send_modify(|frame| {
            frame.landed = frame.started;
            frame.result = Some(result);
        });
        self.answers_from = self.frames.borrow().started + 1;
    }

    /// From now on nobody is to wait for a flight: the process ends.
    pub fn close(&mut self) {
        self.frames.send_modify(|frame| frame.closed = true);
    }

    /// Something other than a flight has told the task's end: everybody who waits has it now, and a flight
    /// under way is outdated.
    pub fn publish(&mut self, result: FlightResult) {
        self.start();
        self.land(result);
    }

    /// What the flight under way brings is no longer good enough for those who ask from now on.
    pub fn outdate(&mut self) {
        self.answers_from = self.frames.borrow().started + 1;
    }
}
