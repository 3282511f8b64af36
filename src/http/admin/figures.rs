//! Owns the figures of the dashboard, as it gets them. Ids are shortened; bodies, keys, tokens and clients do not
//! occur.

use serde::Serialize;
use tokio::time::{Duration, Instant};

use super::Admin;
use super::verdict::{Verdict, View};
use crate::core::budget::{Position, Reading};
use crate::core::chronicle::{Latency, Mishap};
use crate::core::mirror::{Line, Next, Reason};
use crate::core::snapshot::Phase;
use crate::core::store::Fill;
use crate::core::task::Routes;
use crate::http::error::code_of;
use crate::http::tally::{Origins, Tally};

/// How many tasks are listed.
const MOST: usize = 100;

/// All of them, at one moment.
#[derive(Serialize)]
pub(super) struct Figures {
    verdict: Verdict,
    version: &'static str,
    uptime_s: u64,
    budget: Budget,
    answers: Answers,
    latency: Timings,
    tasks: Tasks,
    mishaps: Vec<Trouble>,
    memory: Memory,
    streams: u64,
}

#[derive(Serialize)]
struct Budget {
    gate: &'static str,
    tokens: u32,
    burst: u32,
    effective_per_minute: f64,
    configured_per_minute: f64,
    in_flight: usize,
}

#[derive(Serialize)]
struct Answers {
    hit: u64,
    fetched: u64,
    collapsed: u64,
    stand_in: u64,
    refused: u64,
    /// All that told a state.
    handed_out: u64,
    /// Upstream requests.
    asked: u64,
    saved: u64,
    hit_ratio: Option<f64>,
    handed_out_a_second: Vec<u64>,
    asked_a_second: Vec<u64>,
}

#[derive(Serialize)]
struct Timings {
    median_ms: Option<u128>,
    p95_ms: Option<u128>,
    seconds_ms: Vec<Option<u128>>,
}

#[derive(Serialize)]
struct Tasks {
    total: usize,
    shown: Vec<Task>,
}

#[derive(Serialize)]
struct Task {
    id: String,
    route: String,
    /// The upstream's own word.
    word: Option<Box<str>>,
    phase: &'static str,
    age_s: Option<u64>,
    /// `None`: when somebody asks again. 0: now, or when its turn comes.
    next_s: Option<u64>,
    in_flight: bool,
    watchers: usize,
    trouble: Option<&'static str>,
}

#[derive(Serialize)]
struct Trouble {
    ago_s: u64,
    id: String,
    code: &'static str,
    status: Option<u16>,
}

#[derive(Serialize)]
struct Memory {
    states: u64,
    bytes: u64,
    max_bytes: u64,
}

impl Figures {
    pub(super) fn read(admin: &Admin, now: Instant) -> Self {
        let parts = &*admin.0;
        let gateway = &*parts.gateway.0;
        let (mirror, chronicle) = (&gateway.mirror, gateway.mirror.chronicle());
        let budget = parts.budget.reading(now);
        let mishaps = chronicle.mishaps();
        let (total, lines) = mirror.survey(MOST);
        let view = View {
            is_stopping: parts.lifecycle.is_stopping(),
            budget: &budget,
            lag: mirror.lag(),
            patience: gateway.patience,
            mishaps: &mishaps,
            tasks: total,
        };
        Self {
            verdict: Verdict::of(&view, now),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.saturating_duration_since(parts.started).as_secs(),
            answers: Answers::new(&gateway.tally, &budget, now),
            budget: Budget::new(&budget),
            latency: Timings::new(chronicle.latency(now)),
            tasks: Tasks {
                total,
                shown: lines.into_iter().map(|line| Task::new(line, &gateway.routes, now)).collect(),
            },
            mishaps: mishaps.into_iter().map(|mishap| Trouble::new(&mishap, now)).collect(),
            memory: Memory::new(mirror.fill(), parts.max_bytes),
            streams: gateway.streams.count(),
        }
    }
}

impl Budget {
    fn new(reading: &Reading) -> Self {
        Self {
            gate: match reading.gate {
                Position::Open => "open",
                Position::Closed { .. } => "closed",
                Position::Probing { .. } => "probing",
            },
            tokens: reading.tokens,
            burst: reading.rate.burst,
            effective_per_minute: reading.effective_per_minute,
            configured_per_minute: reading.rate.per_minute,
            in_flight: reading.in_flight,
        }
    }
}

impl Answers {
    fn new(tally: &Tally, budget: &Reading, now: Instant) -> Self {
        let Origins { hit, fetched, collapsed, stand_in } = tally.origins();
        let handed_out = hit + fetched + collapsed + stand_in;
        Self {
            hit,
            fetched,
            collapsed,
            stand_in,
            refused: tally.failed(),
            handed_out,
            asked: budget.sent,
            saved: tally.saved.get(),
            hit_ratio: (handed_out > 0).then(|| hit as f64 / handed_out as f64),
            handed_out_a_second: tally.pulse.seconds(now),
            asked_a_second: budget.sent_a_second.clone(),
        }
    }
}

impl Memory {
    fn new(fill: [Fill; 2], max_bytes: u64) -> Self {
        let sum = |figure: fn(&Fill) -> u64| fill.iter().map(figure).sum();
        Self { states: sum(|fill| fill.entries), bytes: sum(|fill| fill.bytes), max_bytes }
    }
}

impl Timings {
    fn new(latency: Latency) -> Self {
        let ms = |took: Duration| took.as_millis();
        Self {
            median_ms: latency.median.map(ms),
            p95_ms: latency.p95.map(ms),
            seconds_ms: latency.seconds.into_iter().map(|took| took.map(ms)).collect(),
        }
    }
}

impl Task {
    fn new(line: Line, routes: &Routes, now: Instant) -> Self {
        let until = |at: Instant| at.saturating_duration_since(now);
        let state = line.state.as_deref();
        Self {
            id: short(line.key.id()),
            route: routes.iter().nth(line.key.route()).map_or("", |route| route.template()).to_owned(),
            word: state.and_then(|state| state.snapshot.word.clone()),
            phase: match state.map(|state| state.snapshot.phase) {
                None => "unknown",
                Some(Phase::Live) => "live",
                Some(Phase::Terminal) => "over",
                Some(Phase::Missing) => "missing",
            },
            age_s: state.map(|state| now.saturating_duration_since(state.first_seen).as_secs()),
            next_s: match line.next {
                Next::InFlight => Some(0),
                Next::At(at) => Some(until(at).as_secs() + u64::from(until(at).subsec_nanos() > 0)),
                Next::Unwanted => None,
            },
            in_flight: line.next == Next::InFlight,
            watchers: line.watchers,
            trouble: line.trouble.map(|failure| code_of(Reason::Upstream(failure)).word()),
        }
    }
}

impl Trouble {
    fn new(mishap: &Mishap, now: Instant) -> Self {
        Self {
            ago_s: now.saturating_duration_since(mishap.at).as_secs(),
            id: short(mishap.key.id()),
            code: code_of(Reason::Upstream(mishap.failure)).word(),
            status: mishap.failure.status(),
        }
    }
}

/// Enough of an id to know it again, never enough to ask with it: a common prefix, and the last characters.
fn short(id: &str) -> String {
    const MOST_SHOWN: usize = 6;
    let prefix = id.find(['_', '-']).map_or("", |end| &id[..=end]);
    let prefix = if prefix.len() <= 8 && prefix.len() * 2 < id.len() { prefix } else { "" };
    let shown = MOST_SHOWN.min((id.len() - prefix.len()) / 2);
    format!("{prefix}…{}", &id[id.len() - shown..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shortened_whatever_they_are() {
        for (id, shown) in [
            ("ldtask_211ca86b293433cf50714cc159e9a42f", "ldtask_…e9a42f"),
            ("a", "…"),
            ("ab", "…b"),
            ("life", "…fe"),
            ("a_b", "…b"),
            ("__________", "_…____"),
            ("0123456789abcdef", "…abcdef"),
            ("a-very-long-id-indeed", "a-…indeed"),
        ] {
            assert_eq!(short(id), shown);
            assert!(!short(id).contains(id));
        }
    }
}
