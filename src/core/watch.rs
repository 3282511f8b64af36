//! Owns the watch, the subscription of a client to a task: the current state first, then every change once,
//! until the task is over.
//!
//! All watches of a task see the same picture through a `watch` channel. A watch that misses states gets the
//! newest one, and ten thousand watches cause no more upstream requests than one.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::{Duration, Instant};

use super::alarm::Alarm;
use super::answer::{Origin, Reason, Refusal, spread};
use super::failure::Failure;
use super::grant::Grant;
use super::pacing::{Estimate, Told};
use super::refresh::{Coordinator, FlightResult, Waiter};
use super::snapshot::Phase;
use super::state::State;

/// A task counts as gone after so many missing states in a row, which are `not_found_ttl` apart, and at least
/// `gone_after` has passed from the first to the last.
const MISSING_IN_A_ROW: u32 = 3;
/// The shortest time without a landing after which a watch looks for the reason.
const MIN_CHECK: Duration = Duration::from_secs(1);

/// An event of a watch.
#[derive(Debug)]
pub enum WatchEvent {
    /// A state of the task: the first, a changed one, or the same again after trouble.
    State(Arc<State>, Origin),
    /// When the task is likely to end: the first time that this can be told, and when it is no longer what was told.
    Estimate(Told),
    /// The refresh failed or has to wait, for this reason. The task will be refreshed again.
    Trouble(Refusal),
    /// The watch has lost its place to a client that holds fewer, and ends.
    Evicted(Refusal),
    /// The task stays missing. This is the last answer of the upstream.
    Gone(Arc<State>),
}

/// The subscription of one client. While it lives, its task is refreshed.
pub struct Watch {
    coordinator: Arc<Coordinator>,
    grant: Grant,
    waiter: Waiter,
    /// The number of the last flight whose landing was considered.
    landed: u64,
    /// The entity tag of the state that the client has.
    told: Option<HeaderValue>,
    trouble: Option<Reason>,
    /// The estimate to tell next, and the end that was told last.
    estimate: Option<Estimate>,
    told_end: Option<Instant>,
    /// The missing states in a row, and the fetch time of the first.
    missing: Option<(u32, Instant)>,
    /// The fetch time of the state considered last: the store and the picture may show the same one.
    looked_at: Option<Instant>,
    begun: bool,
    /// When to look for a reason if no flight has landed.
    check: Alarm,
}

impl Watch {
    pub(super) fn new(
        coordinator: Arc<Coordinator>,
        grant: Grant,
        waiter: Waiter,
        told: Option<HeaderValue>,
    ) -> Self {
        let check = Alarm::new(Instant::now() + coordinator.policy.patience.max(MIN_CHECK));
        let landed = waiter.flight - 1;
        coordinator.counters.watchers.inc();
        Self {
            coordinator,
            grant,
            waiter,
            landed,
            told,
            trouble: None,
            estimate: None,
            told_end: None,
            missing: None,
            looked_at: None,
            begun: false,
            check,
        }
    }

    /// The grant of the watching client.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The next event. A terminal state or [`WatchEvent::Gone`] is the last one. Cancel safe: an event that
    /// was not returned is returned by the next call.
    pub async fn next(&mut self) -> WatchEvent {
        if !self.begun {
            self.begun = true;
            let known = self.known().filter(|state| !self.may_be_earlier(state));
            let known = known.and_then(|state| self.consider(state, Origin::Hit));
            if let Some(event) = known.or_else(|| self.foreseen()) {
                return event;
            }
        }
        loop {
            // After the state that it belongs to.
            if let Some(told) = self.estimate.take().and_then(|estimate| estimate.told(Instant::now())) {
                return WatchEvent::Estimate(told);
            }
            if let Some(event) = self.landing() {
                return event;
            }
            if self.estimate.is_some() {
                continue;
            }
            if self.waiter.is_evicted() {
                return self.evicted();
            }
            tokio::select! {
                biased;
                changed = self.waiter.frames.changed() => {
                    // The picture is gone, and with it whatever could still land.
                    if changed.is_err() {
                        return self.evicted();
                    }
                }
                () = self.check.rung() => {
                    if let Some(event) = self.explain() {
                        return event;
                    }
                }
            }
        }
    }

    /// Skips the known state, so that the watch begins with the next landing. Returns the fresh state, if
    /// there is one.
    pub(super) fn skip_known(&mut self) -> Option<Arc<State>> {
        self.begun = true;
        let state = self.coordinator.store.fresh(self.grant.key(), Instant::now())?;
        self.told = Some(state.snapshot.etag.clone());
        Some(state)
    }

    /// Whether a known state may be an earlier one than that which another replica has told the client. Nothing is told
    /// then before the next landing; an end is.
    fn may_be_earlier(&self, known: &State) -> bool {
        let is_another = self.told.as_ref().is_some_and(|told| known.snapshot.etag != told);
        is_another && known.snapshot.phase == Phase::Live && self.coordinator.budget.tier().is_some()
    }

    /// The state to show at once: a fresh one, or a live one that is about to be refreshed.
    fn known(&self) -> Option<Arc<State>> {
        let (key, now) = (self.grant.key(), Instant::now());
        let live = |state: &Arc<State>| state.snapshot.phase == Phase::Live;
        self.coordinator
            .store
            .fresh(key, now)
            .or_else(|| self.coordinator.store.stand_in(key, now).filter(live))
    }

    fn evicted(&self) -> WatchEvent {
        WatchEvent::Evicted(Refusal::overloaded(self.coordinator.policy.patience))
    }

    fn landing(&mut self) -> Option<WatchEvent> {
        let (landed, result) = {
            let frame = self.waiter.frames.borrow_and_update();
            (frame.landed, frame.result())
        };
        if landed <= self.landed {
            return None;
        }
        self.landed = landed;
        match result? {
            FlightResult::State { state, status, stored } => {
                let known_before = self.told.is_some();
                let collapsed = self.waiter.collapsed;
                self.consider(state, Origin::Fetched { known_before, status, stored, collapsed })
            }
            FlightResult::Failure(failure) => self.troubled(Reason::Upstream(failure)),
            // The next landing brings the state again.
            FlightResult::Lost => {
                self.coordinator.hasten(self.grant.key());
                None
            }
        }
    }

    fn consider(&mut self, state: Arc<State>, origin: Origin) -> Option<WatchEvent> {
        if self.looked_at.replace(state.snapshot.fetched) == Some(state.snapshot.fetched) {
            return None;
        }
        self.check.set(state.due.max(Instant::now()) + self.coordinator.policy.patience.max(MIN_CHECK));
        if state.snapshot.phase == Phase::Refused {
            self.missing = None;
            let status = state.snapshot.status.as_u16();
            return self.troubled(Reason::Upstream(Failure::Refused { status }));
        }
        let was_troubled = matches!(self.trouble.take(), Some(Reason::Upstream(_)));
        if state.snapshot.phase == Phase::Missing {
            let (before, since) = self.missing.unwrap_or((0, state.snapshot.fetched));
            self.missing = Some((before + 1, since));
            let has_lasted = state.snapshot.fetched - since >= self.coordinator.policy.gone_after;
            return (before + 1 >= MISSING_IN_A_ROW && has_lasted).then_some(WatchEvent::Gone(state));
        }
        self.missing = None;
        self.foretell(&state);
        let is_told = self.told.as_ref() == Some(&state.snapshot.etag);
        if is_told && !was_troubled && state.snapshot.phase != Phase::Terminal {
            return None;
        }
        self.told = Some(state.snapshot.etag.clone());
        Some(WatchEvent::State(state, origin))
    }

    /// Notes the estimate of a state, if it is news.
    fn foretell(&mut self, state: &State) {
        self.estimate = None;
        let Some(estimate) = state.estimate() else { return };
        let remaining = Duration::try_from_secs_f64(estimate.remaining).unwrap_or_default();
        let end = estimate.at + remaining;
        // A client counts down by itself.
        let is_news = self.told_end.is_none_or(|told| {
            let moved = told.saturating_duration_since(end).max(end.saturating_duration_since(told));
            moved > (remaining / 10).max(Duration::from_secs(1))
        });
        if is_news {
            self.told_end = Some(end);
            self.estimate = Some(*estimate);
        }
    }

    /// The trouble that is known from the start and lasts longer than `patience`.
    fn foreseen(&mut self) -> Option<WatchEvent> {
        let now = Instant::now();
        let forecast = self.coordinator.forecast(self.grant.key(), self.grant.client(), now);
        let will_last = forecast.start > now + self.coordinator.policy.patience;
        (will_last && self.waiter.frames.borrow().landed <= self.landed)
            .then(|| self.troubled(forecast.reason))?
    }

    /// Looks for a reason to report when no flight has landed for a while.
    fn explain(&mut self) -> Option<WatchEvent> {
        let now = Instant::now();
        self.check.set(now + self.coordinator.policy.patience.max(MIN_CHECK));
        let forecast = self.coordinator.forecast(self.grant.key(), self.grant.client(), now);
        if forecast.start <= now {
            return None;
        }
        self.troubled(forecast.reason)
    }

    fn troubled(&mut self, reason: Reason) -> Option<WatchEvent> {
        if self.told.is_none()
            && let Some(state) = self.coordinator.store.stand_in(self.grant.key(), Instant::now())
        {
            // An expired terminal state is better than none while the upstream cannot confirm it.
            self.told = Some(state.snapshot.etag.clone());
            return Some(WatchEvent::State(state, Origin::StandIn { reason, asked: true }));
        }
        // A wait for the budget is no trouble for a client that has a state.
        let is_queue = matches!(reason, Reason::Budget);
        if is_queue && self.told.is_some() {
            return None;
        }
        if self.trouble.is_some_and(|known| known.is_like(reason)) {
            return None;
        }
        self.trouble = Some(reason);
        let now = Instant::now();
        let start = self.coordinator.forecast(self.grant.key(), self.grant.client(), now).start;
        let retry_after = spread(start.saturating_duration_since(now));
        Some(WatchEvent::Trouble(Refusal { reason, retry_after }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.coordinator.counters.watchers.dec();
    }
}
