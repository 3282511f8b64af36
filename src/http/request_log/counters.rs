//! Owns the counters of requests and answers: every request counts once, under its kind and its outcome.

use std::array;

use tokio::time::{Duration, Instant};

use super::code::{Code, words};
use crate::core::answer::Origin;
use crate::core::metric::{Counter, Histogram};
use crate::core::rolling_counter::RollingCounter;
use crate::core::state::State;

words! {
    /// The kind of a request.
    RequestKind {
        Other = "other",
        Task = "task",
        Wait = "task_wait",
        Stream = "task_stream",
        List = "list",
        ListStream = "list_stream",
        Cancel = "cancel",
        Content = "content",
    }
}

words! {
    /// The outcome of a request that was not refused with a code.
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
    /// A limit per client that refused a request.
    Strike {
        RequestsPerSecond = "requests_per_second",
        NewTasksPerMinute = "new_tasks_per_minute",
        MaxStreams = "max_streams",
        MaxDownloads = "max_downloads",
    }
}

const KINDS: usize = RequestKind::ALL.len();
const ENDINGS: usize = Ending::ALL.len();
const OUTCOMES: usize = ENDINGS + Code::ALL.len();

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Outcome {
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

    pub(in crate::http) fn word(self) -> &'static str {
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

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Self::Failed(code)
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

/// The bounds of the age histogram. A live state is seconds old, a finished one up to `cache.terminal_ttl`.
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

/// The counters of the main listener. Each count is one relaxed addition at a fixed index, without a look-up.
#[derive(Debug)]
pub struct RequestCounters {
    requests: [[Counter; OUTCOMES]; KINDS],
    strikes: [Counter; Strike::ALL.len()],
    /// The age of each state when it was sent. The histogram's count is the number of all answers.
    pub age: Histogram,
    /// Answers that cost no upstream request of their own.
    pub saved: Counter,
    /// Answers by origin.
    origins: [Counter; 4],
    /// Answers, second by second.
    pub(in crate::http) second_by_second: RollingCounter,
}

/// Answers by origin.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct AnswerCounts {
    /// Fresh, from memory.
    pub(in crate::http) hit: u64,
    /// From the upstream, by a request for this client.
    pub(in crate::http) fetched: u64,
    /// From the upstream, coalesced with another client's request.
    pub(in crate::http) collapsed: u64,
    /// A known state that stood in, because no fresh one could be fetched.
    pub(in crate::http) stand_in: u64,
}

impl RequestCounters {
    /// All counters at zero.
    pub fn new(now: Instant) -> Self {
        Self {
            requests: array::from_fn(|_| array::from_fn(|_| Counter::default())),
            strikes: array::from_fn(|_| Counter::default()),
            age: Histogram::new(AGES),
            saved: Counter::default(),
            origins: array::from_fn(|_| Counter::default()),
            second_by_second: RollingCounter::new(now),
        }
    }

    /// Counts a request that has ended.
    pub(in crate::http) fn request(&self, kind: RequestKind, outcome: Outcome) {
        self.requests[kind as usize][outcome.place()].add();
    }

    /// Counts a request that a limit refused.
    pub(in crate::http) fn strike(&self, limit: Strike) {
        self.strikes[limit as usize].add();
    }

    /// Counts a state that is sent: as a response, in a list, or as an event.
    pub(in crate::http) fn answer(&self, state: &State, origin: Origin, now: Instant) {
        self.age.observe(now.saturating_duration_since(state.snapshot.fetched));
        self.second_by_second.add(now);
        let [hit, fetched, collapsed, stand_in] = &self.origins;
        let count = match origin {
            Origin::Hit => hit,
            Origin::Fetched { collapsed: false, .. } => fetched,
            Origin::Fetched { collapsed: true, .. } => collapsed,
            Origin::StandIn { .. } => stand_in,
        };
        count.add();
        let is_first = state.delivery.is_first();
        // The failed upstream request of a stand-in was a request all the same.
        let in_vain = matches!(origin, Origin::StandIn { asked: true, .. });
        if !is_first && !in_vain {
            self.saved.add();
        }
    }

    /// Reads the answers by origin.
    pub(in crate::http) fn answers(&self) -> AnswerCounts {
        let [hit, fetched, collapsed, stand_in] = &self.origins;
        AnswerCounts {
            hit: hit.get(),
            fetched: fetched.get(),
            collapsed: collapsed.get(),
            stand_in: stand_in.get(),
        }
    }

    /// Requests answered with an error of the gateway's own.
    pub(in crate::http) fn failed(&self) -> u64 {
        self.requests.iter().flat_map(|outcomes| &outcomes[ENDINGS..]).map(Counter::get).sum()
    }

    /// Requests by kind and outcome.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        RequestKind::ALL.iter().flat_map(move |kind| {
            Outcome::all().map(move |outcome| {
                (kind.word(), outcome.word(), self.requests[*kind as usize][outcome.place()].get())
            })
        })
    }

    /// Refusals by each limit per client.
    pub fn strikes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Strike::ALL.iter().map(|limit| (limit.word(), self.strikes[*limit as usize].get()))
    }
}
