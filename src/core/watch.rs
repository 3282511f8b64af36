//! Owns the way of a watcher: the current state first, then every change once, until it is over.
//!
//! It is a look at the same picture as everybody's, through a `watch` channel: a watcher that misses states
//! gets the newest, and ten thousand of them are one interest upstream.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::{Duration, Instant, sleep_until};

use super::answer::{Origin, Reason, Refusal, spread};
use super::grant::Grant;
use super::refresh::{Coordinator, FlightResult, Waiter};
use super::snapshot::Phase;
use super::state::State;

/// So many "not found" in a row, each a `not_found_ttl` after the one before, mean that a task is gone.
const GONE_AFTER: u32 = 3;
/// How often a watcher that hears nothing asks why, at most.
const MIN_CHECK: Duration = Duration::from_secs(1);

/// What a watcher is told.
#[derive(Debug)]
pub enum WatchEvent {
    /// The task's state: the first, another one, or the same again after trouble.
    State(Arc<State>, Origin),
    /// There is no news because of this; it will be tried again.
    Trouble(Refusal),
    /// The task is not to be found, or not to be seen: the upstream's last word on it.
    Gone(Arc<State>),
}

/// One watcher. While it lives, its task is refreshed.
pub struct Watch {
    coordinator: Arc<Coordinator>,
    grant: Grant,
    waiter: Waiter,
    /// The last landing that was looked at.
    landed: u64,
    /// The tag of the state that was told last.
    told: Option<HeaderValue>,
    trouble: Option<Reason>,
    missing: u32,
    /// When the state looked at last was fetched: the store and the picture may show the same one.
    looked_at: Option<Instant>,
    begun: bool,
    /// When silence is to be explained.
    check_at: Instant,
}

impl Watch {
    pub(super) fn new(
        coordinator: Arc<Coordinator>,
        grant: Grant,
        waiter: Waiter,
        told: Option<HeaderValue>,
    ) -> Self {
        let check_at = Instant::now() + coordinator.policy.patience.max(MIN_CHECK);
        let landed = waiter.flight - 1;
        coordinator.counters.watchers.inc();
        Self {
            coordinator,
            grant,
            waiter,
            landed,
            told,
            trouble: None,
            missing: 0,
            looked_at: None,
            begun: false,
            check_at,
        }
    }

    /// Whose watch it is, and over what.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The next thing to tell. After a terminal state or [`WatchEvent::Gone`] there is nothing more to come.
    /// Cancel safe: what was not returned is told next time.
    pub async fn next(&mut self) -> WatchEvent {
        if !self.begun {
            self.begun = true;
            let known = self.known().and_then(|state| self.consider(state, Origin::Hit));
            if let Some(event) = known.or_else(|| self.foreseen()) {
                return event;
            }
        }
        loop {
            if let Some(event) = self.landing() {
                return event;
            }
            tokio::select! {
                biased;
                // The coordinator, and with it the sender, lives as long as this watch.
                _ = self.waiter.frames.changed() => {}
                () = sleep_until(self.check_at) => {
                    if let Some(event) = self.explain() {
                        return event;
                    }
                }
            }
        }
    }

    /// Leaves out what is known: the watch begins with the next landing. Returns what is fresh.
    pub(super) fn skip_known(&mut self) -> Option<Arc<State>> {
        self.begun = true;
        let state = self.coordinator.store.fresh(self.grant.key(), Instant::now())?;
        self.told = Some(state.snapshot.etag.clone());
        Some(state)
    }

    /// What can be shown at once: what is fresh, or a live state that is about to be refreshed.
    fn known(&self) -> Option<Arc<State>> {
        let (key, now) = (self.grant.key(), Instant::now());
        let live = |state: &Arc<State>| state.snapshot.phase == Phase::Live;
        self.coordinator
            .store
            .fresh(key, now)
            .or_else(|| self.coordinator.store.stand_in(key, now).filter(live))
    }

    fn landing(&mut self) -> Option<WatchEvent> {
        let (landed, result) = {
            let frame = self.waiter.frames.borrow_and_update();
            (frame.landed, frame.result.clone())
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
        }
    }

    fn consider(&mut self, state: Arc<State>, origin: Origin) -> Option<WatchEvent> {
        if self.looked_at.replace(state.snapshot.fetched) == Some(state.snapshot.fetched) {
            return None;
        }
        self.check_at =
            state.fresh_until.max(Instant::now()) + self.coordinator.policy.patience.max(MIN_CHECK);
        let was_troubled = matches!(self.trouble.take(), Some(Reason::Upstream(_)));
        if state.snapshot.phase == Phase::Missing {
            self.missing += 1;
            return (self.missing >= GONE_AFTER).then_some(WatchEvent::Gone(state));
        }
        self.missing = 0;
        let is_told = self.told.as_ref() == Some(&state.snapshot.etag);
        if is_told && !was_troubled && state.snapshot.phase != Phase::Terminal {
            return None;
        }
        self.told = Some(state.snapshot.etag.clone());
        Some(WatchEvent::State(state, origin))
    }

    /// Trouble that is known from the start, and will last.
    fn foreseen(&mut self) -> Option<WatchEvent> {
        let now = Instant::now();
        let forecast = self.coordinator.forecast(self.grant.key(), self.grant.client(), now);
        let will_last = forecast.start > now + self.coordinator.policy.patience;
        (will_last && self.waiter.frames.borrow().landed <= self.landed)
            .then(|| self.troubled(forecast.reason))?
    }

    /// Nothing has landed for a while: is there a reason that a watcher should know?
    fn explain(&mut self) -> Option<WatchEvent> {
        let now = Instant::now();
        self.check_at = now + self.coordinator.policy.patience.max(MIN_CHECK);
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
            // A finished state past its time: better than none, now that the upstream cannot confirm it.
            self.told = Some(state.snapshot.etag.clone());
            return Some(WatchEvent::State(state, Origin::StandIn { reason, asked: true }));
        }
        // To wait for a turn is no trouble for somebody who has a state.
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
