//! Owns the content of `/metrics`: the name under which each figure of each part is shown.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::core::budget::{Budget, Position, Reading};
use crate::core::failure::Failure;
use crate::core::metric::Histogram;
use crate::core::mirror::Mirror;
use crate::core::pacing::{CLOCK_NAMES, RouteFigures};
use crate::core::refresh::Overview;
use crate::http::Gateway;
use crate::server::{ConnectionLimits, Connections};
use crate::shared::{Counters, RedisTier};
use crate::telemetry::exposition::{Metric, Page};
use crate::telemetry::log_writer::LOST_LINES;
use crate::telemetry::{metrics, process};
use crate::upstream::{UpstreamCounters, Usability};

/// The parts with counters. They are read when `/metrics` is requested.
pub(super) struct Figures {
    pub(super) gateway: Gateway,
    pub(super) mirror: Mirror,
    pub(super) budget: Budget,
    pub(super) upstream: Arc<UpstreamCounters>,
    pub(super) usability: Arc<Usability>,
    pub(super) tier: Option<Arc<RedisTier>>,
    pub(super) listeners: Vec<Listener>,
    pub(super) started: SystemTime,
}

/// A listener's connections, and the most that it accepts at once.
pub(super) struct Listener {
    pub(super) name: &'static str,
    pub(super) connections: Arc<Connections>,
    pub(super) limit: usize,
}

impl Listener {
    /// A listener without connections.
    pub(super) fn new(name: &'static str, limits: ConnectionLimits) -> Self {
        Self { name, connections: Arc::default(), limit: limits.max_connections }
    }
}

/// The failures that can close the gate, and their labels. Only the variants count, not the values in them.
const REASONS: [(Failure, &str); 6] = [
    (Failure::RateLimited { retry_after: None }, "rate_limited"),
    (Failure::KeyRejected, "key_rejected"),
    (Failure::QuotaExhausted, "quota_exhausted"),
    (Failure::ServerError { status: 500, retry_after: None }, "server_error"),
    (Failure::Unreachable, "unreachable"),
    (Failure::TimedOut, "timeout"),
];

impl Figures {
    /// The page in Prometheus' text format.
    pub(super) fn page(&self) -> String {
        let mut page = Page::default();
        let (core, budget) = (self.mirror.overview(), self.budget.reading(Instant::now()));
        self.clients(&mut page);
        self.calls(&mut page, &core, &budget);
        Self::spending(&mut page, &budget);
        self.interest(&mut page, &core);
        self.pacing(&mut page);
        Self::memory(&mut page, &core);
        self.sharing(&mut page);
        self.sockets(&mut page);
        self.process(&mut page);
        page.finish()
    }

    fn clients(&self, page: &mut Page) {
        let counters = self.gateway.counters();
        let mut requests = page.family(&metrics::REQUESTS);
        for (kind, outcome, count) in counters.requests().filter(|(.., count)| *count > 0) {
            requests.sample(&[kind, outcome], count);
        }
        histogram(page, &metrics::ANSWER_AGE, &counters.age);
        page.single(&metrics::SAVED, counters.saved.get());
    }

    fn calls(&self, page: &mut Page, core: &Overview<'_>, budget: &Reading) {
        let mut requests = page.family(&metrics::UPSTREAM_REQUESTS);
        for (kind, code, count) in self.upstream.requests() {
            requests.sample(&[kind, &code], count);
        }
        histogram(page, &metrics::UPSTREAM_LATENCY, &self.upstream.latency);
        page.single(&metrics::USABLE, u8::from(self.usability.trouble().is_none()));
        page.single(&metrics::IN_FLIGHT, budget.in_flight);
        page.single(&metrics::RATE_LIMITED, core.counters.rate_limited.get());
        page.single(&metrics::ABSORBED, core.counters.absorbed.get());
    }

    fn spending(page: &mut Page, budget: &Reading) {
        page.single(&metrics::BUDGET_TOKENS, budget.tokens);
        page.single(&metrics::BUDGET_EFFECTIVE, budget.effective_per_minute / 60.0);
        page.single(&metrics::BUDGET_CONFIGURED, budget.rate.per_minute / 60.0);
        let mut gate = page.family(&metrics::GATE);
        gate.sample(&["open", "none"], u8::from(budget.gate == Position::Open));
        let (closed, probing) = match budget.gate {
            Position::Open => (None, None),
            Position::Closed { because, .. } => (Some(because), None),
            Position::Probing { because } => (None, Some(because)),
        };
        let is = |known: Option<Failure>, reason: &Failure| {
            known.is_some_and(|known| std::mem::discriminant(&known) == std::mem::discriminant(reason))
        };
        for (reason, word) in &REASONS {
            gate.sample(&["closed", word], u8::from(is(closed, reason)));
            gate.sample(&["probing", word], u8::from(is(probing, reason)));
        }
    }

    fn interest(&self, page: &mut Page, core: &Overview<'_>) {
        histogram(page, &metrics::LAST_WATCHER, &core.counters.last_watcher);
        page.single(&metrics::STREAMS, self.gateway.open_streams());
        self.downloads(page);
        page.single(&metrics::WATCHERS, core.counters.watchers.get());
        page.single(&metrics::INTEREST, core.census.tasks);
        page.single(&metrics::LINGERING, core.census.lingering);
        let mut family = page.family(&metrics::QUEUE);
        family.sample(&["waiting"], core.waiting);
        family.sample(&["due"], core.due);
    }

    fn pacing(&self, page: &mut Page) {
        let routes = self.mirror.pacing(0).routes;
        let mut show = |metric, value: fn(&RouteFigures) -> f64| {
            let mut family = page.family(metric);
            for (path, figures) in &routes {
                family.sample(&[path], value(figures));
            }
        };
        show(&metrics::PACING_EXPECTED, |figures| figures.expected);
        show(&metrics::PACING_FOUND, |figures| figures.found as f64);
        show(&metrics::PACING_DELAY, |figures| figures.delay);
        show(&metrics::PACING_PRICE, |figures| figures.price);
        show(&metrics::PACING_GAP, |figures| figures.longest_gap);
        let mut plans = page.family(&metrics::PACING_PLANS);
        for (path, figures) in &routes {
            for (clock, count) in CLOCK_NAMES.iter().zip(figures.planned) {
                plans.sample(&[path, clock], count);
            }
        }
    }

    fn downloads(&self, page: &mut Page) {
        let downloads = self.gateway.downloads();
        page.single(&metrics::DOWNLOADS, downloads.count());
        let mut ended = page.family(&metrics::DOWNLOADS_ENDED);
        for (end, count) in downloads.ends() {
            ended.sample(&[end], count);
        }
        page.single(&metrics::DOWNLOADED, downloads.bytes());
    }

    fn memory(page: &mut Page, core: &Overview<'_>) {
        let [known, missing] = core.memory;
        for (metric, values) in [
            (&metrics::STORE_ENTRIES, [known.entries, missing.entries]),
            (&metrics::STORE_BYTES, [known.bytes, missing.bytes]),
            (&metrics::STORE_LIMIT, [known.max_bytes, missing.max_bytes]),
            (&metrics::STORE_EVICTIONS, [known.evicted, missing.evicted]),
        ] {
            let mut family = page.family(metric);
            for (store, value) in ["known", "missing"].into_iter().zip(values) {
                family.sample(&[store], value);
            }
        }
    }

    fn sharing(&self, page: &mut Page) {
        let tier = self.tier.as_deref();
        let mut up = page.family(&metrics::SHARED_UP);
        if let Some(tier) = tier {
            up.sample(&[], u8::from(tier.trouble().is_none()));
        }
        page.single(&metrics::SHARED_REPLICAS, tier.map_or(0, RedisTier::replicas_alive));
        let none = Counters::default();
        let counters = tier.map_or(&none, RedisTier::counters);
        let mut calls = page.family(&metrics::SHARED_CALLS);
        for (kind, outcome, count) in counters.calls().filter(|(.., count)| *count > 0) {
            calls.sample(&[kind, outcome], count);
        }
        histogram(page, &metrics::SHARED_LATENCY, &counters.latency);
        page.single(&metrics::SHARED_TAKEN, counters.taken.get());
        page.single(&metrics::SHARED_UNVERIFIED, counters.unverified.get());
    }

    fn sockets(&self, page: &mut Page) {
        let mut show = |metric, value: fn(&Listener) -> u64| {
            let mut family = page.family(metric);
            for listener in &self.listeners {
                family.sample(&[listener.name], value(listener));
            }
        };
        show(&metrics::CONNECTIONS, |listener| listener.connections.open_now());
        show(&metrics::CONNECTIONS_LIMIT, |listener| listener.limit as u64);
        show(&metrics::ACCEPTED, |listener| listener.connections.accepted());
        show(&metrics::NOT_ACCEPTED, |listener| listener.connections.failed());
        let mut hit = page.family(&metrics::LIMITS_HIT);
        for (limit, count) in self.gateway.counters().strikes() {
            hit.sample(&[limit], count);
        }
        hit.sample(&["max_tasks"], self.mirror.overview().counters.too_many_tasks.get());
    }

    fn process(&self, page: &mut Page) {
        let mut lost = page.family(&metrics::LOG_LINES_LOST);
        lost.sample(&["full"], LOST_LINES.full.get());
        lost.sample(&["failed"], LOST_LINES.failed.get());
        page.family(&metrics::BUILD).sample(&[env!("CARGO_PKG_VERSION")], 1);
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.single(&metrics::START_TIME, started.as_secs_f64());
        if let Some(bytes) = process::resident_bytes() {
            page.single(&metrics::RESIDENT, bytes);
        }
        if let Some(count) = process::open_fds() {
            page.single(&metrics::OPEN_FDS, count);
        }
    }
}

fn histogram(page: &mut Page, metric: &'static Metric, histogram: &Histogram) {
    let reading = histogram.read();
    page.family(metric).histogram(&reading.bounds, &reading.counts, reading.sum);
}
