//! Owns what `/metrics` shows: which figure of which part stands under which name.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::core::budget::{Budget, Position};
use crate::core::mirror::Mirror;
use crate::core::ports::Failure;
use crate::core::tally::Histogram;
use crate::http::Gateway;
use crate::server::{Connections, Limits};
use crate::telemetry::exposition::{Metric, Page};
use crate::telemetry::{metrics, process};
use crate::upstream;

/// The parts that count, each read when the page is asked for.
pub(super) struct Figures {
    pub(super) gateway: Gateway,
    pub(super) mirror: Mirror,
    pub(super) budget: Budget,
    pub(super) upstream: Arc<upstream::Tally>,
    pub(super) listeners: Vec<Listener>,
    pub(super) started: SystemTime,
}

/// A listener's connections, and how many it takes.
pub(super) struct Listener {
    pub(super) name: &'static str,
    pub(super) connections: Arc<Connections>,
    pub(super) limit: usize,
}

impl Listener {
    /// One that nobody has come to yet.
    pub(super) fn new(name: &'static str, limits: Limits) -> Self {
        Self { name, connections: Arc::default(), limit: limits.max_connections }
    }
}

/// What can close the gate. The figures in them do not count here.
const REASONS: [(Failure, &str); 6] = [
    (Failure::RateLimited { retry_after: None }, "rate_limited"),
    (Failure::KeyRejected, "key_rejected"),
    (Failure::QuotaExhausted, "quota_exhausted"),
    (Failure::ServerError { status: 500 }, "server_error"),
    (Failure::Unreachable, "unreachable"),
    (Failure::TimedOut, "timeout"),
];

impl Figures {
    /// The page.
    pub(super) fn page(&self) -> String {
        let mut page = Page::default();
        self.clients(&mut page);
        self.calls(&mut page);
        self.spending(&mut page);
        self.interest(&mut page);
        self.memory(&mut page);
        self.sockets(&mut page);
        self.process(&mut page);
        page.finish()
    }

    fn clients(&self, page: &mut Page) {
        let tally = self.gateway.tally();
        let mut requests = page.family(&metrics::REQUESTS);
        for (kind, outcome, count) in tally.requests().filter(|(.., count)| *count > 0) {
            requests.sample(&[kind, outcome], count);
        }
        histogram(page, &metrics::ANSWER_AGE, &tally.age);
        page.single(&metrics::SAVED, tally.saved.get());
    }

    fn calls(&self, page: &mut Page) {
        let mut requests = page.family(&metrics::UPSTREAM_REQUESTS);
        for (kind, code, count) in self.upstream.requests() {
            requests.sample(&[kind, &code], count);
        }
        histogram(page, &metrics::UPSTREAM_LATENCY, &self.upstream.latency);
        page.single(&metrics::IN_FLIGHT, self.budget.in_flight());
        page.single(&metrics::RATE_LIMITED, self.mirror.tally().rate_limited.get());
        page.single(&metrics::ABSORBED, self.mirror.tally().absorbed.get());
    }

    fn spending(&self, page: &mut Page) {
        page.single(&metrics::BUDGET_TOKENS, self.budget.tokens(Instant::now()));
        page.single(&metrics::BUDGET_EFFECTIVE, self.budget.effective_per_minute() / 60.0);
        page.single(&metrics::BUDGET_CONFIGURED, self.budget.configured_per_minute() / 60.0);
        let position = self.budget.gate();
        let mut gate = page.family(&metrics::GATE);
        gate.sample(&["open", "none"], u8::from(position == Position::Open));
        let (closed, probing) = match position {
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

    fn interest(&self, page: &mut Page) {
        let tally = self.mirror.tally();
        histogram(page, &metrics::LAST_WATCHER, &tally.last_watcher);
        page.single(&metrics::STREAMS, self.gateway.open_streams());
        page.single(&metrics::WATCHERS, tally.watchers.get());
        let census = self.mirror.census();
        page.single(&metrics::INTEREST, census.tasks);
        page.single(&metrics::LINGERING, census.lingering);
        let queue = self.mirror.queue();
        let mut family = page.family(&metrics::QUEUE);
        family.sample(&["waiting"], queue.waiting);
        family.sample(&["due"], queue.due);
    }

    fn memory(&self, page: &mut Page) {
        let [known, missing] = self.mirror.fill();
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
        for (limit, count) in self.gateway.tally().strikes() {
            hit.sample(&[limit], count);
        }
        hit.sample(&["max_tasks"], self.mirror.tally().too_many_tasks.get());
    }

    fn process(&self, page: &mut Page) {
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
