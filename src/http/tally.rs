//! Owns what is counted of requests and answers: every request once, under its kind and its outcome.

use std::array;

use tokio::time::{Duration, Instant};

use super::code::{Code, words};
use super::way::Way;
use crate::core::mirror::Origin;
use crate::core::pulse::Pulse;
use crate::core::snapshot::State;
use crate::core::tally::{Counter, Histogram};

words! {
    /// What a request asks for.
    Kind {
        Other = "other",
        Task = "task",
        Wait = "task_wait",
        Stream = "task_stream",
        List = "list",
        ListStream = "list_stream",
        Cancel = "cancel",
    }
}

words! {
    /// What became of a request that was not refused with a code.
    Ending {
        Hit = "hit",
        Miss = "miss",
        Refreshed = "refreshed",
        Collapsed = "collapsed",
        Stale = "stale",
        Listed = "listed",
        Opened = "opened",
        Over = "over",
        TurnedBack = "turned_back",
        PassedOn = "passed_on",
        Ok = "ok",
        Refused = "refused",
        Abandoned = "abandoned",
    }
}

words! {
    /// Which limit struck.
    Strike {
        RequestsPerSecond = "requests_per_second",
        NewTasksPerMinute = "new_tasks_per_minute",
        MaxStreams = "max_streams",
    }
}

const KINDS: usize = Kind::ALL.len();
const ENDINGS: usize = Ending::ALL.len();
const OUTCOMES: usize = ENDINGS + Code::ALL.len();

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ended(Ending),
    Failed(Code),
}

impl Outcome {
    fn place(self) -> usize {
        match self {
            Self::Ended(ending) => ending as usize,
            Self::Failed(code) => ENDINGS + code as usize,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ended(ending) => ending.word(),
            Self::Failed(code) => code.word(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let ended = Ending::ALL.iter().copied().map(Self::Ended);
        ended.chain(Code::ALL.iter().copied().map(Self::Failed))
    }
}

impl From<Way> for Kind {
    fn from(way: Way) -> Self {
        match way {
            Way::Plain => Self::Task,
            Way::Wait { .. } => Self::Wait,
            Way::Stream => Self::Stream,
        }
    }
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

impl From<Origin> for Outcome {
    fn from(origin: Origin) -> Self {
        Self::Ended(match origin {
            Origin::Hit => Ending::Hit,
            Origin::Fetched { collapsed: true, .. } => Ending::Collapsed,
            Origin::Fetched { known_before: true, .. } => Ending::Refreshed,
            Origin::Fetched { known_before: false, .. } => Ending::Miss,
            Origin::StandIn { .. } => Ending::Stale,
        })
    }
}

/// From a second to an hour: live states are young, finished ones as old as `cache.terminal_ttl` lets them be.
const AGES: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];

/// The counters of the main listener. Each addition is a relaxed one, to a place known beforehand.
#[derive(Debug)]
pub struct Tally {
    requests: [[Counter; OUTCOMES]; KINDS],
    strikes: [Counter; Strike::ALL.len()],
    /// How old each state was that was handed out; its count is that of all answers.
    pub age: Histogram,
    /// Answers that cost no request of their own.
    pub saved: Counter,
    /// Answers by origin.
    origins: [Counter; 4],
    /// Answers, second by second.
    pub(super) pulse: Pulse,
}

/// How many answers were come by in which way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origins {
    /// Fresh, from memory.
    pub(super) hit: u64,
    /// From the upstream, asked for this client.
    pub(super) fetched: u64,
    /// From the upstream, asked for somebody else.
    pub(super) collapsed: u64,
    /// A known state, in place of one that could not be had.
    pub(super) stand_in: u64,
}

impl Tally {
    /// All at nothing.
    pub fn new(now: Instant) -> Self {
        Self {
            requests: array::from_fn(|_| array::from_fn(|_| Counter::default())),
            strikes: array::from_fn(|_| Counter::default()),
            age: Histogram::new(AGES),
            saved: Counter::default(),
            origins: array::from_fn(|_| Counter::default()),
            pulse: Pulse::new(now),
        }
    }

    /// A request has come to its end.
    pub(super) fn request(&self, kind: Kind, outcome: Outcome) {
        self.requests[kind as usize][outcome.place()].add();
    }

    /// A limit has struck.
    pub(super) fn strike(&self, limit: Strike) {
        self.strikes[limit as usize].add();
    }

    /// A state is handed out: as a response, in a list, or as an event.
    pub(super) fn answer(&self, state: &State, origin: Origin, now: Instant) {
        self.age.observe(now.saturating_duration_since(state.snapshot.fetched));
        self.pulse.beat(now);
        let [hit, fetched, collapsed, stand_in] = &self.origins;
        let come_by = match origin {
            Origin::Hit => hit,
            Origin::Fetched { collapsed: false, .. } => fetched,
            Origin::Fetched { collapsed: true, .. } => collapsed,
            Origin::StandIn { .. } => stand_in,
        };
        come_by.add();
        let is_first = state.hand_out();
        // Asked in vain is asked all the same.
        let in_vain = matches!(origin, Origin::StandIn { asked: true, .. });
        if !is_first && !in_vain {
            self.saved.add();
        }
    }

    /// Answers by origin.
    pub(super) fn origins(&self) -> Origins {
        let [hit, fetched, collapsed, stand_in] = &self.origins;
        Origins {
            hit: hit.get(),
            fetched: fetched.get(),
            collapsed: collapsed.get(),
            stand_in: stand_in.get(),
        }
    }

    /// Requests that were answered with an error of the gateway's own.
    pub(super) fn failed(&self) -> u64 {
        self.requests.iter().flat_map(|outcomes| &outcomes[ENDINGS..]).map(Counter::get).sum()
    }

    /// Requests by kind and outcome.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        Kind::ALL.iter().flat_map(move |kind| {
            Outcome::all().map(move |outcome| {
                (kind.word(), outcome.word(), self.requests[*kind as usize][outcome.place()].get())
            })
        })
    }

    /// How often each limit per client has struck.
    pub fn strikes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Strike::ALL.iter().map(|limit| (limit.word(), self.strikes[*limit as usize].get()))
    }
}
