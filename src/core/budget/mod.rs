//! Owns the budget of the API key: a token bucket, the gate, and the limit of requests in flight.
//!
//! A [`Permit`] is the only way to call the upstream, and every attempt takes one. The lock is held for a few
//! instructions and never across an await. It may be taken inside the coordinator's lock, never the other way
//! round.

mod bucket;
mod clearing;
mod gate;
mod ledger;
mod quota;
mod readiness;
mod report;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Duration, Instant};

pub use bucket::{Bucket, Rate};
pub(super) use clearing::Cleared;
use gate::Gate;
pub use gate::{Change, Pass, Position};
use ledger::{Ledger, WORTH_A_LINE};
pub use quota::Quota;
pub use readiness::Readiness;

use super::cause;
use super::failure::{Failure, Scope};
use super::meter::Meter;
use super::rolling_counter::RollingCounter;
use super::shared::{GateNews, SharedTier};
use super::task::TaskKey;
use super::time::later;

/// The time until another probe where one that all replicas waited for has failed.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
/// The expected start of a request, and the reason for the wait.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    /// The expected start.
    pub at: Instant,
    /// The failure that closed the gate; `None` where the gate is open, and only tokens can be short.
    pub because: Option<Failure>,
}

/// The figures of the budget at one moment.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The configured rate.
    pub rate: Rate,
    /// Whole tokens left.
    pub tokens: u32,
    /// The effective rate, in requests a minute.
    pub effective_per_minute: f64,
    /// The quota that the upstream tells, and the time until its reset.
    pub quota: Option<(Quota, Duration)>,
    /// That quota allows much less than the settings: little enough for a line in the log.
    pub is_slowed_by_quota: bool,
    /// 429s have slowed the bucket down.
    pub is_slowed_by_429s: bool,
    /// The position of the gate.
    pub gate: Position,
    /// The time since which the gate is not open.
    pub closed_since: Option<Instant>,
    /// The number of requests in flight.
    pub in_flight: usize,
    /// The number of requests sent so far, second attempts included.
    pub sent: u64,
    /// The number of requests sent in each of the last [`SPAN`](super::rolling_counter::SPAN) whole seconds,
    /// the latest last.
    pub sent_a_second: Vec<u64>,
}

/// Requests a second.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Those that the budget allows for good: by the settings, less what 429s have taken of them. A quota that is short
    /// until its reset holds requests up meanwhile, but whoever plans further ahead would wait long behind it.
    pub per_second: f64,
    /// Those that were sent of late.
    pub used: f64,
}

/// The budget of one API key. A clone is another handle to the same budget.
#[derive(Clone)]
pub struct Budget {
    ledger: Arc<Mutex<Ledger>>,
    /// What replicas share. `None`: this process is alone.
    tier: Option<Arc<dyn SharedTier>>,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Budget {
    /// A full budget.
    pub fn new(rate: Rate, max_in_flight: usize, now: Instant) -> Self {
        let ledger = Ledger {
            bucket: Bucket::new(rate, now),
            part: Bucket::new(rate, now),
            gate: Gate::new(),
            share: None,
            heeded: None,
            quota_told: None,
            closed_since: None,
            in_flight: 0,
            max_in_flight,
            sent: RollingCounter::new(now),
            meter: Meter::new(now),
        };
        Self { ledger: Arc::new(Mutex::new(ledger)), tier: None }
    }

    /// The same budget, shared with other replicas: no permit is good before the tier has cleared it.
    pub fn shared(self, tier: Arc<dyn SharedTier>) -> Self {
        Self { tier: Some(tier), ..self }
    }

    /// What replicas share.
    pub fn tier(&self) -> Option<&Arc<dyn SharedTier>> {
        self.tier.as_ref()
    }

    /// The largest number of requests in flight.
    pub fn max_in_flight(&self) -> usize {
        self.ledger().max_in_flight
    }

    /// Whether a permit is free now, and if not, when.
    pub fn readiness(&self, now: Instant) -> Readiness {
        self.ledger().readiness(now)
    }

    /// Takes a permit, if one is free now.
    pub fn acquire(&self, now: Instant) -> Option<Permit> {
        let mut ledger = self.ledger();
        self.permit(&mut ledger, now)
    }

    /// The time at which all tokens are there, so that one is lost unless it is used. `None`: not now, or not for this
    /// process alone to say.
    pub fn spare_at(&self, now: Instant) -> Option<Instant> {
        let ledger = self.ledger();
        let is_open = ledger.gate.position() == Position::Open && ledger.in_flight < ledger.max_in_flight;
        (self.tier.is_none() && is_open).then(|| ledger.full_at(now))
    }

    /// Takes a permit for a second request of a flight, if one is free now and the gate is open: a probe is a
    /// single request, and only the coordinator may begin one.
    pub async fn another(&self) -> Option<Permit> {
        let permit = {
            let mut ledger = self.ledger();
            if ledger.gate.position() != Position::Open {
                return None;
            }
            self.permit(&mut ledger, Instant::now())?
        };
        permit.cleared_as_second().await
    }

    fn permit(&self, ledger: &mut Ledger, now: Instant) -> Option<Permit> {
        let pass = ledger.take(now)?;
        let right = if self.tier.is_some() { Right::Reserved } else { Right::Paid };
        if right == Right::Paid {
            ledger.note_sent(now);
        }
        Some(Permit { budget: self.clone(), pass, right })
    }

    /// The expected start of the request behind `ahead` others.
    pub fn estimate(&self, now: Instant, ahead: u32) -> Estimate {
        let ledger = self.ledger();
        let tokens = ledger.tokens_at(now, ahead);
        let (from, ahead, because) = match ledger.gate.position() {
            Position::Open => return Estimate { at: tokens, because: None },
            Position::Closed { until, because } => (until, ahead, because),
            Position::Probing { because } => (now, ahead.saturating_add(1), because),
        };
        Estimate { at: tokens.max(later(from, ledger.behind(because, ahead))), because: Some(because) }
    }

    /// Records the result of a request, which may open or close the gate and slow the bucket down.
    pub fn settle(&self, now: Instant, pass: Pass, task: &TaskKey, failure: Option<Failure>) -> Change {
        let mut ledger = self.ledger();
        let change = ledger.gate.settle(now, pass, task, failure);
        ledger.heed_gate(change, now);
        change
    }

    /// What the result of a request means to the other replicas, after it was [settled](Self::settle) here.
    /// `is_probe`: it was the probe of all replicas.
    pub fn gate_news(
        &self,
        is_probe: bool,
        task: &TaskKey,
        failure: Option<Failure>,
        change: Change,
        now: Instant,
    ) -> GateNews {
        let ledger = self.ledger();
        if failure.is_some_and(|failure| ledger.gate.is_lone(task, failure)) {
            return Self::no_news(is_probe);
        }
        let is_closing = matches!(change, Change::Closed { .. })
            || failure.is_some_and(|failure| failure.scope() == Scope::Account);
        match (ledger.gate.position(), failure) {
            (Position::Closed { until, because }, _) if is_closing => {
                GateNews::Closed { hold: until.saturating_duration_since(now), because }
            }
            _ if !is_probe => GateNews::None,
            (_, Some(because)) if because.scope() != Scope::Task => {
                GateNews::Closed { hold: because.retry_after().unwrap_or(PROBE_AGAIN), because }
            }
            _ => GateNews::Opened,
        }
    }

    /// What a request means to the other replicas that was [settled aside](Self::settle_aside) here.
    pub fn no_news(is_probe: bool) -> GateNews {
        if is_probe { GateNews::Undecided { hold: PROBE_AGAIN } } else { GateNews::None }
    }

    /// Records that a request has ended of whose result nothing follows for others. A probe is sent anew.
    pub fn settle_aside(&self, now: Instant, pass: Pass) {
        self.ledger().gate.says_nothing(now, pass);
    }

    /// Sets another rate. Used tokens stay used.
    pub fn set_rate(&self, rate: Rate, now: Instant) {
        self.ledger().bucket.set_rate(rate, now);
    }

    /// Heeds what the upstream tells of the key's quota, of which this gateway uses `share`; with `None` not.
    pub fn heed_quotas(&self, share: Option<f64>) {
        let mut ledger = self.ledger();
        ledger.share = share;
        ledger.heeded = None;
    }

    /// Lets a new key be tried at once, where the upstream has rejected the old one.
    pub fn retry_key(&self, now: Instant) {
        self.ledger().gate.retry_account(now);
    }

    /// The figures at this moment.
    pub fn reading(&self, now: Instant) -> Reading {
        let ledger = self.ledger();
        let by_settings = ledger.bucket.effective_per_minute();
        let by_quota = ledger.heeded.as_ref().and_then(|heeded| heeded.effective_per_minute(now));
        Reading {
            rate: ledger.bucket.rate(),
            tokens: ledger
                .heeded
                .as_ref()
                .and_then(|heeded| heeded.tokens(now))
                .map_or(ledger.bucket.tokens(now), |tokens| tokens.min(ledger.bucket.tokens(now))),
            effective_per_minute: by_quota.map_or(by_settings, |by_quota| by_quota.min(by_settings)),
            is_slowed_by_quota: by_quota.is_some_and(|by_quota| by_quota < by_settings * WORTH_A_LINE),
            is_slowed_by_429s: by_settings < ledger.bucket.rate().per_minute,
            quota: ledger
                .heeded
                .as_ref()
                .filter(|heeded| now < heeded.resets_at)
                .map(|heeded| (heeded.quota, heeded.resets_at.saturating_duration_since(now))),
            gate: ledger.gate.position(),
            closed_since: ledger.closed_since,
            in_flight: ledger.in_flight,
            sent: ledger.sent.total(),
            sent_a_second: ledger.sent.seconds(now),
        }
    }

    /// The flow of requests that lasts.
    pub fn flow(&self, now: Instant) -> Flow {
        let ledger = self.ledger();
        Flow { per_second: ledger.bucket.effective_per_minute() / 60.0, used: ledger.meter.rate(now) }
    }

    /// The position of the gate.
    pub fn gate(&self) -> Position {
        self.ledger().gate.position()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}

/// The right to send one request upstream. The drop of a permit makes room for the next request.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    pass: Pass,
    right: Right,
}

/// How far the right to send has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// The request may be sent.
    Paid,
    /// The shared tier has not cleared it yet. Dropped like this, the permit was not used.
    Reserved,
    /// It was given back.
    Returned,
}

impl Permit {
    /// The pass with which the result is settled.
    pub fn pass(&self) -> Pass {
        self.pass
    }

    /// An answer tells these quotas.
    pub fn heed(&self, quotas: &[Quota]) {
        let now = Instant::now();
        let news = self.budget.ledger().heed(quotas, now);
        if let Some((per_minute, quota)) = news {
            cause::log(|| {
                tracing::warn!(
                    remaining = quota.remaining,
                    limit = quota.limit,
                    resets_s = quota.resets_in.as_secs(),
                    per_minute,
                    "the upstream says that less of the key's limit is left than the settings suppose: requests go \
                     on more slowly until its reset; if this comes back, other programs use the key, or \
                     budget.requests_per_minute is more than its limit"
                );
            });
        }
    }

    /// A second permit for another attempt, as [`Budget::another`].
    pub async fn another(&self) -> Option<Self> {
        self.budget.another().await
    }

    fn give_back(&mut self, ledger: &mut Ledger, now: Instant) {
        if self.right != Right::Reserved {
            return;
        }
        self.right = Right::Returned;
        ledger.bucket.give_back();
        if let Some(heeded) = &mut ledger.heeded {
            heeded.give_back();
        }
        ledger.gate.unsent(now, self.pass);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let budget = self.budget.clone();
        let mut ledger = budget.ledger();
        self.give_back(&mut ledger, Instant::now());
        ledger.in_flight = ledger.in_flight.saturating_sub(1);
    }
}
