//! Owns the way of a watcher: the current state first, then every change once, until it is over.
//!
//! It is a look at the same picture as everybody's, through a `watch` channel: a watcher that misses states
//! gets the newest, and ten thousand of them are one interest upstream.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::{Duration, Instant, sleep_until};

use super::desk::{Desk, Reason};
use super::grant::Grant;
use super::interest::Seat;
use super::mirror::{Origin, Refusal, spread};
use super::picture::Outcome;
use super::snapshot::{Phase, State};

/// So many "not found" in a row, each a `not_found_ttl` after the one before, mean that a task is gone.
const GONE_AFTER: u32 = 3;
/// How often a watcher that hears nothing asks why, at most.
const MIN_CHECK: Duration = Duration::from_secs(1);

/// What a watcher is told.
#[derive(Debug)]
pub enum Sight {
    /// The task's state: the first, another one, or the same again after trouble.
    State(Arc<State>, Origin),
    /// There is no news because of this; it will be tried again.
    Trouble(Refusal),
    /// The task is not to be found, or not to be seen: the upstream's last word on it.
    Gone(Arc<State>),
}

/// One watcher. While it lives, its task is refreshed.
pub struct Watch {
    desk: Arc<Desk>,
    grant: Grant,
    seat: Seat,
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
    pub(super) fn new(desk: Arc<Desk>, grant: Grant, seat: Seat, told: Option<HeaderValue>) -> Self {
        let check_at = Instant::now() + desk.policy.patience.max(MIN_CHECK);
        let landed = seat.flight - 1;
        Self {
            desk,
            grant,
            seat,
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

    /// The next thing to tell. After a terminal state or [`Sight::Gone`] there is nothing more to come.
    /// Cancel safe: what was not returned is told next time.
    pub async fn next(&mut self) -> Sight {
        let sight = self.sight().await;
        match &sight {
            Sight::State(_, origin) => self.desk.tally.answered(Some(*origin), Instant::now()),
            Sight::Trouble(_) | Sight::Gone(_) => self.desk.tally.answered(None, Instant::now()),
        }
        sight
    }

    /// The same, not yet handed out to anybody.
    pub(super) async fn sight(&mut self) -> Sight {
        if !self.begun {
            self.begun = true;
            let known = self.known().and_then(|state| self.consider(state, Origin::Hit));
            if let Some(sight) = known.or_else(|| self.foreseen()) {
                return sight;
            }
        }
        loop {
            if let Some(sight) = self.landing() {
                return sight;
            }
            tokio::select! {
                biased;
                // The desk, and with it the sender, lives as long as this watch.
                _ = self.seat.frames.changed() => {}
                () = sleep_until(self.check_at) => {
                    if let Some(sight) = self.explain() {
                        return sight;
                    }
                }
            }
        }
    }

    /// Leaves out what is known: the watch begins with the next landing. Returns what is fresh.
    pub(super) fn skip_known(&mut self) -> Option<Arc<State>> {
        self.begun = true;
        let state = self.desk.store.fresh(self.grant.key(), Instant::now())?;
        self.told = Some(state.snapshot.etag.clone());
        Some(state)
    }

    /// What can be shown at once: what is fresh, or a live state that is about to be refreshed.
    fn known(&self) -> Option<Arc<State>> {
        let (key, now) = (self.grant.key(), Instant::now());
        let live = |state: &Arc<State>| state.snapshot.phase == Phase::Live;
        self.desk.store.fresh(key, now).or_else(|| self.desk.store.stand_in(key, now).filter(live))
    }

    fn landing(&mut self) -> Option<Sight> {
        let (landed, outcome) = {
            let frame = self.seat.frames.borrow_and_update();
            (frame.landed, frame.outcome.clone())
        };
        if landed <= self.landed {
            return None;
        }
        self.landed = landed;
        match outcome? {
            Outcome::State { state, status, stored } => {
                let known_before = self.told.is_some();
                let collapsed = self.seat.collapsed;
                self.consider(state, Origin::Fetched { known_before, status, stored, collapsed })
            }
            Outcome::Failure(failure) => self.troubled(Reason::Upstream(failure)),
        }
    }

    fn consider(&mut self, state: Arc<State>, origin: Origin) -> Option<Sight> {
        if self.looked_at.replace(state.snapshot.fetched) == Some(state.snapshot.fetched) {
            return None;
        }
        self.check_at = state.fresh_until.max(Instant::now()) + self.desk.policy.patience.max(MIN_CHECK);
        let was_troubled = matches!(self.trouble.take(), Some(Reason::Upstream(_)));
        if state.snapshot.phase == Phase::Missing {
            self.missing += 1;
            return (self.missing >= GONE_AFTER).then_some(Sight::Gone(state));
        }
        self.missing = 0;
        let is_told = self.told.as_ref() == Some(&state.snapshot.etag);
        if is_told && !was_troubled && state.snapshot.phase != Phase::Terminal {
            return None;
        }
        self.told = Some(state.snapshot.etag.clone());
        Some(Sight::State(state, origin))
    }

    /// Trouble that is known from the start, and will last.
    fn foreseen(&mut self) -> Option<Sight> {
        let now = Instant::now();
        let forecast = self.desk.forecast(self.grant.key(), self.grant.client(), now);
        let will_last = forecast.start > now + self.desk.policy.patience;
        (will_last && self.seat.frames.borrow().landed <= self.landed)
            .then(|| self.troubled(forecast.reason))?
    }

    /// Nothing has landed for a while: is there a reason that a watcher should know?
    fn explain(&mut self) -> Option<Sight> {
        let now = Instant::now();
        self.check_at = now + self.desk.policy.patience.max(MIN_CHECK);
        let forecast = self.desk.forecast(self.grant.key(), self.grant.client(), now);
        if forecast.start <= now {
            return None;
        }
        self.troubled(forecast.reason)
    }

    fn troubled(&mut self, reason: Reason) -> Option<Sight> {
        if self.told.is_none()
            && let Some(state) = self.desk.store.stand_in(self.grant.key(), Instant::now())
        {
            // A finished state past its time: better than none, now that the upstream cannot confirm it.
            self.told = Some(state.snapshot.etag.clone());
            return Some(Sight::State(state, Origin::StandIn { reason, asked: true }));
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
        let start = self.desk.forecast(self.grant.key(), self.grant.client(), now).start;
        let retry_after = spread(start.saturating_duration_since(now));
        Some(Sight::Trouble(Refusal { reason, retry_after }))
    }
}
