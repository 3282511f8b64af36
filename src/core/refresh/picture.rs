//! Owns the picture of a key: the newest state or failure, published to all waiters and watches.
//!
//! Flights are numbered, so a waiter knows which landing answers it. A start wakes no waiter; a landing wakes
//! all. The channel is `watch`, not `Notify` or `broadcast`: it loses neither wake-ups nor the newest value.

use std::sync::{Arc, Weak};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::cause::Cause;
use crate::core::failure::Failure;
use crate::core::snapshot::Phase;
use crate::core::state::State;

/// The result of a flight.
#[derive(Debug, Clone)]
pub enum FlightResult {
    /// A state.
    State {
        /// The state to hand out.
        state: Arc<State>,
        /// The status code of the upstream's answer. If a terminal state absorbed the answer, `state` is that
        /// one.
        status: u16,
        /// Whether the answer was put into the store.
        stored: bool,
    },
    /// A failure: there is no new state.
    Failure(Failure),
    /// A state that has left the store before this client looked.
    Lost,
}

/// The result of a flight, as the picture keeps it: the store alone holds states, so that its bound holds for all.
#[derive(Debug, Clone)]
enum Kept {
    State {
        state: Weak<State>,
        /// A state that the store does not hold, for the clients that wait for it.
        _only_here: Option<Arc<State>>,
        status: u16,
        stored: bool,
        /// The fetch time of a terminal state.
        ended: Option<Instant>,
    },
    Failure(Failure),
}

/// One moment of the picture.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The number of flights that have started.
    pub started: u64,
    /// The number of the last flight that landed.
    pub landed: u64,
    /// The result of that flight.
    result: Option<Kept>,
    /// The number of flights that had started and did not take place.
    pub postponed: u64,
    /// Whether the gateway shuts down, so that no client may wait for another flight.
    pub closed: bool,
    /// Whether the task has lost its place to a client that holds fewer.
    pub evicted: bool,
}

impl Frame {
    /// The result of the last flight that landed.
    pub fn result(&self) -> Option<FlightResult> {
        Some(match self.result.as_ref()? {
            Kept::Failure(failure) => FlightResult::Failure(*failure),
            Kept::State { state, status, stored, .. } => match state.upgrade() {
                Some(state) => FlightResult::State { state, status: *status, stored: *stored },
                None => FlightResult::Lost,
            },
        })
    }
}

impl From<FlightResult> for Option<Kept> {
    fn from(result: FlightResult) -> Self {
        match result {
            FlightResult::State { state, status, stored } => Some(Kept::State {
                ended: (stored && state.snapshot.phase == Phase::Terminal).then_some(state.snapshot.fetched),
                state: Arc::downgrade(&state),
                _only_here: (!stored).then_some(state),
                status,
                stored,
            }),
            FlightResult::Failure(failure) => Some(Kept::Failure(failure)),
            FlightResult::Lost => None,
        }
    }
}

/// The coordinator's end of the picture, which publishes.
#[derive(Debug)]
pub struct Picture {
    frames: watch::Sender<Frame>,
    /// The number of the first flight that answers a client that asks now.
    answers_from: u64,
    /// The cause of the next flight, which its log lines name.
    cause: Option<Cause>,
}

impl Picture {
    /// A picture before the first flight.
    pub fn new() -> Self {
        Self { frames: watch::Sender::new(Frame::default()), answers_from: 1, cause: None }
    }

    /// Subscribes to the picture.
    pub fn subscribe(&self) -> watch::Receiver<Frame> {
        self.frames.subscribe()
    }

    /// The number of the flight that answers a client that asks now: the one in flight, else the next.
    pub fn answering_flight(&self) -> u64 {
        self.answers_from
    }

    /// Notes that a client asks. The first request since the last start is the cause of the next flight.
    pub fn ask(&mut self) {
        if self.cause.is_none() && self.answers_from > self.frames.borrow().started {
            self.cause = Some(Cause::current());
        }
    }

    /// Takes the cause of the flight that starts now.
    pub fn take_cause(&mut self) -> Cause {
        self.cause.take().unwrap_or_default()
    }

    /// Whether a client waits for the next landing.
    pub fn is_watched(&self) -> bool {
        self.frames.receiver_count() > 0
    }

    /// The fetch time of the terminal state, if the last result was one that was stored.
    pub fn ended(&self) -> Option<Instant> {
        match &self.frames.borrow().result {
            Some(Kept::State { ended, .. }) => *ended,
            Some(Kept::Failure(_)) | None => None,
        }
    }

    /// Whether the flight under way no longer answers clients that ask now.
    pub fn is_outdated(&self) -> bool {
        self.answers_from > self.frames.borrow().started
    }

    /// Notes the start of a flight.
    pub fn start(&mut self) {
        self.frames.send_if_modified(|frame| {
            frame.started += 1;
            false
        });
    }

    /// The request of the flight under way is sent only now: it answers also those who asked after the flight was outdated.
    pub fn set_off(&mut self) {
        if self.is_outdated() {
            self.start();
        }
    }

    /// The flight under way does not take place: whoever waits for it waits for the next one.
    pub fn postpone(&mut self) {
        self.frames.send_modify(|frame| {
            if frame.started > frame.landed {
                frame.started -= 1;
                frame.postponed += 1;
            }
        });
    }

    /// Publishes the result of the flight under way.
    pub fn land(&mut self, result: FlightResult) {
        self.frames.send_modify(|frame| {
            frame.landed = frame.started;
            frame.result = result.into();
        });
        self.answers_from = self.frames.borrow().started + 1;
    }

    /// Ends the wait for flights for good, because the gateway shuts down.
    pub fn close(&mut self) {
        self.frames.send_modify(|frame| frame.closed = true);
    }

    /// Ends the wait of all clients: the task has lost its place.
    pub fn evict(self) {
        self.frames.send_modify(|frame| frame.evicted = true);
    }

    /// Publishes a terminal state that no flight brought. It answers all waiters, and a flight under way is
    /// outdated.
    pub fn publish(&mut self, result: FlightResult) {
        self.start();
        self.land(result);
    }

    /// Marks the flight under way as outdated: it does not answer clients that ask from now on.
    pub fn outdate(&mut self) {
        self.answers_from = self.frames.borrow().started + 1;
    }
}
