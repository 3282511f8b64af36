//! Owns the dashboard's data in the form that is sent. It holds shortened ids, and no bodies, keys, tokens or
//! clients.

use serde::Serialize;
use tokio::time::{Duration, Instant};

use super::health::{Health, View};
use super::state::{Admin, Sharing};
use crate::core::answer::Reason;
use crate::core::budget::{Position, Reading};
use crate::core::failure::Failure;
use crate::core::pacing::Curve;
use crate::core::refresh::{FailedRequest, Latency, Next, PacingOverview, TaskRow};
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::core::store::Fill;
use crate::core::task::Routes;
use crate::core::time::seconds_up;
use crate::http::request_log::{AnswerCounts, Code, RequestCounters};

/// The most tasks that are listed.
const MOST: usize = 100;
/// The most models whose durations are drawn.
const MOST_CURVES: usize = 6;

/// All figures, at one moment.
#[derive(Serialize)]
pub(super) struct DashboardData {
    health: Health,
    version: &'static str,
    uptime_s: u64,
    budget: BudgetData,
    answers: AnswerData,
    latency: LatencyData,
    tasks: TaskTable,
    /// `None`: this process shares with nobody.
    sharing: Option<SharingData>,
    pacing: PacingData,
    failures: Vec<FailureData>,
    memory: MemoryData,
    streams: u64,
    downloads: DownloadData,
}

#[derive(Serialize)]
struct DownloadData {
    open: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct BudgetData {
    gate: &'static str,
    tokens: u32,
    burst: u32,
    effective_per_minute: f64,
    configured_per_minute: f64,
    in_flight: usize,
    quota: Option<QuotaData>,
}

/// What the upstream says is left of the key's quota.
#[derive(Serialize)]
struct QuotaData {
    remaining: f64,
    limit: Option<f64>,
    resets_s: u64,
}

#[derive(Serialize)]
struct AnswerData {
    hit: u64,
    fetched: u64,
    collapsed: u64,
    stand_in: u64,
    refused: u64,
    /// Answers with a state: the sum of the first four.
    handed_out: u64,
    /// Upstream requests sent.
    asked: u64,
    /// Answers that used up an upstream request: the first with each state, and those that were asked for in vain.
    paid: u64,
    /// All other answers with a state.
    saved: u64,
    hit_ratio: Option<f64>,
    handed_out_a_second: Vec<u64>,
    asked_a_second: Vec<u64>,
}

#[derive(Serialize)]
struct LatencyData {
    median_ms: Option<u128>,
    p95_ms: Option<u128>,
    seconds_ms: Vec<Option<u128>>,
}

#[derive(Serialize)]
struct TaskTable {
    total: usize,
    shown: Vec<TaskData>,
}

#[derive(Serialize)]
struct TaskData {
    id: String,
    route: String,
    /// The status in the upstream's own word.
    word: Option<Box<str>>,
    phase: &'static str,
    age_s: Option<u64>,
    /// Seconds until the next refresh. `None`: when a client asks again. 0: now, or as soon as the budget
    /// allows.
    next_s: Option<u64>,
    in_flight: bool,
    /// The gate is not open then: the task is refreshed after it has opened.
    is_held: bool,
    watchers: usize,
    trouble: Option<&'static str>,
    /// Seconds until it is likely to end, if that can be told.
    ends_in_s: Option<u64>,
}

/// The tier that replicas share. Counts are since the start.
#[derive(Serialize)]
struct SharingData {
    /// 0 while this one is alone.
    replicas: u32,
    calls: u64,
    failed: u64,
    mean_ms: Option<f64>,
    /// States that others had fetched.
    taken: u64,
}

/// The learnt durations. All zero, and no curves, unless the pacing learns.
#[derive(Serialize)]
struct PacingData {
    /// Ends found.
    found: u64,
    /// Ends that were to be expected.
    expected: f64,
    /// The mean time from an end to the look that found it, as estimated.
    delay_s: Option<f64>,
    /// The longest recent time between two looks at a task, in mean intervals.
    longest_gap: f64,
    curves: Vec<CurveData>,
}

#[derive(Serialize)]
struct CurveData {
    /// The model's name as the upstream tells it: text from outside.
    model: Box<str>,
    route: Box<str>,
    ends: u32,
    /// The age of the last point.
    span_s: f64,
    /// The part of the tasks that still runs, at evenly spaced ages.
    alive: Vec<f64>,
}

#[derive(Serialize)]
struct FailureData {
    ago_s: u64,
    id: String,
    code: &'static str,
    status: Option<u16>,
}

#[derive(Serialize)]
struct MemoryData {
    states: u64,
    bytes: u64,
    max_bytes: u64,
}

impl DashboardData {
    pub(super) fn read(admin: &Admin, now: Instant) -> Self {
        let parts = &*admin.0;
        let gateway = &*parts.gateway.0;
        let overview = gateway.mirror.overview();
        let budget = parts.budget.reading(now);
        let failures = overview.recent_requests.failures();
        let (total, rows) = gateway.mirror.survey(MOST);
        let sharing = (parts.sharing)();
        let view = View {
            is_stopping: parts.lifecycle.is_stopping(),
            budget: &budget,
            unusable: (parts.unusable)(),
            alone: sharing.as_ref().and_then(|sharing| sharing.alone.clone()),
            lag: overview.lag,
            patience: gateway.patience,
            failures: &failures,
            tasks: total,
        };
        Self {
            health: Health::of(&view, now),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.saturating_duration_since(parts.started).as_secs(),
            answers: AnswerData::new(&gateway.counters, &budget, now),
            budget: BudgetData::new(&budget),
            latency: LatencyData::new(overview.recent_requests.latency(now)),
            tasks: TaskTable {
                total,
                shown: rows
                    .into_iter()
                    .map(|row| TaskData::new(row, &gateway.routes, budget.gate, now))
                    .collect(),
            },
            sharing: sharing.map(SharingData::from),
            pacing: PacingData::new(gateway.mirror.pacing(MOST_CURVES)),
            failures: failures.iter().map(|failure| FailureData::new(failure, now)).collect(),
            memory: MemoryData::new(overview.memory, parts.max_bytes),
            streams: gateway.streams.count(),
            downloads: DownloadData { open: gateway.downloads.count(), bytes: gateway.downloads.bytes() },
        }
    }
}

impl From<Sharing> for SharingData {
    fn from(sharing: Sharing) -> Self {
        let Sharing { replicas, calls, failed, mean, taken, .. } = sharing;
        Self { replicas, calls, failed, mean_ms: mean.map(|mean| mean.as_secs_f64() * 1e3), taken }
    }
}

impl BudgetData {
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
            quota: reading.quota.map(|(quota, resets_in)| QuotaData {
                remaining: quota.remaining,
                limit: quota.limit,
                resets_s: seconds_up(resets_in),
            }),
        }
    }
}

impl AnswerData {
    fn new(counters: &RequestCounters, budget: &Reading, now: Instant) -> Self {
        let AnswerCounts { hit, fetched, collapsed, stand_in } = counters.answers();
        let handed_out = hit + fetched + collapsed + stand_in;
        // Counted one after the other: an answer in between must not spoil the sum.
        let saved = counters.saved.get().min(handed_out);
        Self {
            hit,
            fetched,
            collapsed,
            stand_in,
            refused: counters.failed(),
            handed_out,
            asked: budget.sent,
            paid: handed_out - saved,
            saved,
            hit_ratio: (handed_out > 0).then(|| hit as f64 / handed_out as f64),
            handed_out_a_second: counters.second_by_second.seconds(now),
            asked_a_second: budget.sent_a_second.clone(),
        }
    }
}

impl MemoryData {
    fn new(fill: [Fill; 2], max_bytes: u64) -> Self {
        let sum = |figure: fn(&Fill) -> u64| fill.iter().map(figure).sum();
        Self { states: sum(|fill| fill.entries), bytes: sum(|fill| fill.bytes), max_bytes }
    }
}

impl PacingData {
    fn new(overview: PacingOverview) -> Self {
        let PacingOverview { routes, curves } = overview;
        let routes = || routes.iter().map(|(_, figures)| figures);
        let found = routes().map(|figures| figures.found).sum();
        let delay: f64 = routes().map(|figures| figures.delay).sum();
        let of = |(route, curve): (Box<str>, Curve)| {
            let Curve { model, ends, span, alive, .. } = curve;
            CurveData { model, route, ends, span_s: span, alive }
        };
        Self {
            found,
            expected: routes().map(|figures| figures.expected).sum(),
            delay_s: (found > 0).then(|| delay / found as f64),
            longest_gap: routes().map(|figures| figures.longest_gap).fold(0.0, f64::max),
            curves: curves.into_iter().map(of).collect(),
        }
    }
}

impl LatencyData {
    fn new(latency: Latency) -> Self {
        let ms = |took: Duration| took.as_millis();
        Self {
            median_ms: latency.median.map(ms),
            p95_ms: latency.p95.map(ms),
            seconds_ms: latency.seconds.into_iter().map(|took| took.map(ms)).collect(),
        }
    }
}

impl TaskData {
    fn new(row: TaskRow, routes: &Routes, gate: Position, now: Instant) -> Self {
        let state = row.state.as_deref();
        Self {
            id: short(row.key.id()),
            route: routes.iter().nth(row.key.route()).map_or("", |route| route.template()).to_owned(),
            word: state.and_then(|state| state.snapshot.word.clone()),
            phase: match state.map(|state| state.snapshot.phase) {
                None => "unknown",
                Some(Phase::Live) => "live",
                Some(Phase::Terminal) => "over",
                Some(Phase::Missing) => "missing",
                Some(Phase::Refused) => "refused",
            },
            age_s: state.map(|state| now.saturating_duration_since(state.first_seen).as_secs()),
            next_s: match row.next {
                Next::InFlight => Some(0),
                Next::At(at) => Some(seconds_up(at.saturating_duration_since(now))),
                Next::Unwanted => None,
            },
            in_flight: row.next == Next::InFlight,
            is_held: match (row.next, gate) {
                (Next::At(at), Position::Closed { until, .. }) => at <= until,
                (Next::At(at), Position::Probing { .. }) => at <= now,
                (Next::At(_), Position::Open) | (Next::InFlight | Next::Unwanted, _) => false,
            },
            watchers: row.watchers,
            trouble: row.trouble.map(word),
            ends_in_s: state
                .and_then(State::estimate)
                .and_then(|known| known.told(now))
                .map(|told| told.remaining),
        }
    }
}

impl FailureData {
    fn new(failed: &FailedRequest, now: Instant) -> Self {
        Self {
            ago_s: now.saturating_duration_since(failed.at).as_secs(),
            id: short(failed.key.id()),
            code: word(failed.failure),
            status: failed.failure.status(),
        }
    }
}

fn word(failure: Failure) -> &'static str {
    Code::from(Reason::Upstream(failure)).word()
}

/// Shortens an id to its prefix and its last characters: enough to recognise the task, not enough to read it.
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
