//! Owns the flights of one replica among several: what a flight asks the shared tier before its request and tells it
//! after, the wait for another replica's flight, and the news of others.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use http::HeaderValue;
use parking_lot::MutexGuard;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

use super::book::Book;
use super::coordinator::Coordinator;
use super::flown::{Flown, Settled};
use super::landing::Landing;
use super::picture::FlightResult;
use crate::core::budget::{Change, Cleared, Pass, Permit, Readiness};
use crate::core::failure::Failure;
use crate::core::shared::{self, Clearance, Kept, Landed, News, SharedState, SharedTier, Terms};
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::core::store::{Held, Put};
use crate::core::task::TaskKey;

/// A replica that did not fetch a state is due so much later than the one that did: that one fetches the next state too,
/// and its hint saves the others both calls.
const AFTER_OTHERS: Duration = Duration::from_millis(300);
/// News that are looked up at once.
const LOOKUPS: usize = 32;
/// The time after which a flight that waits for another one asks again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The end of a flight.
enum End {
    Landed(Settled, Box<Result<Flown, Failure>>),
    /// No request was sent: the gate or the budget says "later".
    Postponed(Change),
    /// The flight of another replica has taken too long: the task is due then.
    Missed(Instant),
}

/// Lands a flight that breaks off.
struct Unlanded<'c> {
    coordinator: &'c Arc<Coordinator>,
    key: &'c TaskKey,
    pass: Pass,
    end: Option<End>,
}

impl Drop for Unlanded<'_> {
    fn drop(&mut self) {
        let broken = End::Landed(Settled::Not(self.pass), Box::new(Err(Failure::Unreachable)));
        match self.end.take().unwrap_or(broken) {
            End::Landed(settled, result) => self.coordinator.land(self.key, settled, *result),
            End::Postponed(change) => self.coordinator.postpone(self.key, change),
            End::Missed(due) => self.coordinator.miss(self.key, due),
        }
    }
}

impl Coordinator {
    /// Carries a flight out, as [`SharedTier`] allows.
    pub(super) async fn fly_together(
        self: &Arc<Self>,
        tier: &dyn SharedTier,
        key: &TaskKey,
        permit: Permit,
        weight: usize,
        hint: oneshot::Receiver<()>,
    ) {
        let mut unlanded = Unlanded { coordinator: self, key, pass: permit.pass(), end: None };
        unlanded.end = Some(self.flight(tier, key, permit, weight, hint).await);
    }

    async fn flight(
        self: &Arc<Self>,
        tier: &dyn SharedTier,
        key: &TaskKey,
        mut permit: Permit,
        weight: usize,
        mut hint: oneshot::Receiver<()>,
    ) -> End {
        let timeout = self.policy.timeout;
        let by = Instant::now() + timeout;
        let mut terms = Terms {
            owner: fastrand::u64(..),
            known: self.store.held(key).newest().map_or(0, |state| state.snapshot.sequence),
            weight: u32::try_from(weight).unwrap_or(u32::MAX).max(1),
            lease: Some(shared::lease(timeout)),
        };
        let mut has_waited = false;
        loop {
            match permit.clear(Some(key), terms).await {
                Cleared::Go(clearance) => {
                    // A flight that had to wait for another one has what is left of its time.
                    if has_waited && by.saturating_duration_since(Instant::now()) < timeout / 4 {
                        self.budget.settle_aside(Instant::now(), permit.pass());
                        self.give_up(Some(key), clearance).await;
                        return End::Missed(Instant::now());
                    }
                    return self.request(tier, key, permit, clearance, by).await;
                }
                // It was fetched before what this process has fetched alone.
                Cleared::Newer(state)
                    if self.is_older(key, &state) && state.snapshot.sequence > terms.known =>
                {
                    terms.known = state.snapshot.sequence;
                }
                Cleared::Newer(state) => {
                    return End::Landed(Settled::With(Change::None), Box::new(Ok(Flown::Shared(state))));
                }
                Cleared::Overtaken(clearance) => {
                    self.give_up(Some(key), clearance).await;
                    return End::Postponed(Change::None);
                }
                Cleared::Later(_, change) => return End::Postponed(change),
                Cleared::Leased(until) => {
                    has_waited = true;
                    // The hint comes once, and may be lost with the tier.
                    let again = Instant::now() + ASK_AGAIN;
                    tokio::select! {
                        Ok(()) = &mut hint, if !hint.is_terminated() => {}
                        () = sleep_until(again.min(until).min(by)) => {}
                    }
                    if Instant::now() >= by {
                        return End::Missed(until);
                    }
                }
            }
        }
    }

    /// Sends the request, and tells the tier what came of it.
    async fn request(
        self: &Arc<Self>,
        tier: &dyn SharedTier,
        key: &TaskKey,
        permit: Permit,
        clearance: Option<Clearance>,
        by: Instant,
    ) -> End {
        let pass = permit.pass();
        if let Some(picture) = self.book().pictures.get_mut(key) {
            picture.set_off();
        }
        let mut brought = Err(Failure::Unreachable);
        let landing = Landing::new(self, key, |result| brought = result);
        landing
            .of(async {
                let asking = self.holding(Some(key), clearance, self.ask(key, permit));
                let asked = timeout_at(by, asking).await.unwrap_or(Err(Failure::TimedOut));
                asked.and_then(|answer| self.with_status(key, answer, Instant::now()))
            })
            .await;
        let Some(clearance) = clearance else {
            return End::Landed(Settled::Not(pass), Box::new(brought.map(Flown::Answer)));
        };
        let now = Instant::now();
        let failure = brought.as_ref().err().copied();
        let change = self.budget.settle(now, pass, key, failure);
        let gate = self.budget.gate_news(clearance.is_probe, key, failure, change, now);
        let brought = brought.map(|mut answer| {
            answer.snapshot.sequence = clearance.sequence;
            answer
        });
        let flown = brought.map(|answer| {
            // A refusal tells nothing about the task.
            if answer.snapshot.phase == Phase::Refused {
                return Flown::Answer(answer);
            }
            let held = self.store.held(key);
            Flown::Made(self.state(&mut self.book(), key, &held, answer))
        });
        let state = match &flown {
            Ok(Flown::Made(state)) => Some(&**state),
            _ => None,
        };
        let landed = tier.land(Some(key), shared::Landing { clearance, state, gate }).await;
        let flown = flown.map(|flown| match (landed, flown) {
            (Ok(Landed::Other(state)), _) => Flown::Shared(state),
            (Ok(Landed::Outdated), Flown::Made(state)) => Flown::Outdated(state),
            (_, flown) => flown,
        });
        End::Landed(Settled::With(change), Box::new(flown))
    }

    /// Puts a task back that was not requested. It keeps its place: what says "later" says so to all tasks, and the budget
    /// knows it.
    fn postpone(self: &Arc<Self>, key: &TaskKey, change: Change) {
        let now = Instant::now();
        let mut book = self.book();
        self.heed(&mut book, change, now);
        if let Some(picture) = book.pictures.get_mut(key) {
            picture.postpone();
        }
        let due = book.schedule.due(key).unwrap_or(now);
        self.put_back(book, key, due, now);
        self.budget.report(change, now);
    }

    /// Tells the clients of a task that the flight of another replica has taken too long.
    fn miss(self: &Arc<Self>, key: &TaskKey, due: Instant) {
        let mut book = self.book();
        if let Some(picture) = book.pictures.get_mut(key) {
            picture.land(FlightResult::Failure(Failure::TimedOut));
        }
        self.put_back(book, key, due, Instant::now());
    }

    fn put_back(self: &Arc<Self>, mut book: MutexGuard<'_, Book>, key: &TaskKey, due: Instant, now: Instant) {
        book.hints.remove(key);
        book.schedule.land(key, due, false);
        book.drop_unwanted(key);
        self.dispatch_beside(&mut book, now);
    }

    /// The state of another replica. Its deadlines are this process' own.
    pub(super) fn shared_state(
        &self,
        book: &mut Book,
        key: &TaskKey,
        held: &Held,
        shared: SharedState,
    ) -> Arc<State> {
        let SharedState { snapshot, first_seen } = shared;
        let (known_since, aliases) = held.history(first_seen);
        let mut state = self.planned(book, key, held, *snapshot, (first_seen.min(known_since), aliases));
        if let Some(state) = Arc::get_mut(&mut state).filter(|state| state.snapshot.phase == Phase::Live) {
            state.due += AFTER_OTHERS;
        }
        state
    }

    /// Whether this process has fetched a later state than this one.
    fn is_older(&self, key: &TaskKey, shared: &SharedState) -> bool {
        let held = self.store.held(key);
        shared.snapshot.phase != Phase::Terminal
            && held.newest().is_some_and(|state| state.snapshot.fetched > shared.snapshot.fetched)
    }

    /// Listens to the news of other replicas. Runs until it is dropped.
    pub(in crate::core) async fn listen(self: Arc<Self>, tier: Arc<dyn SharedTier>) {
        loop {
            let news = tier.news().await;
            stream::iter(news).for_each_concurrent(LOOKUPS, |item| self.hear(&*tier, item)).await;
        }
    }

    async fn hear(&self, tier: &dyn SharedTier, News { path, sequence }: News) {
        let Ok(key) = self.routes.find(&path) else { return };
        let held = self.store.held(&key);
        if held.newest().is_some_and(|state| state.snapshot.sequence >= sequence) {
            return;
        }
        {
            let mut book = self.book();
            if book.schedule.in_flight(&key) {
                // A flight that waits for another one asks again. Any other one learns of it when it lands.
                if let Some(hint) = book.hints.remove(&key) {
                    let _ = hint.send(());
                }
                return;
            }
            // A live state that nobody wants is looked up when somebody does.
            let is_live = |state: &Arc<State>| state.snapshot.phase == Phase::Live;
            if held.newest().is_none_or(is_live) && !book.schedule.contains(&key) {
                return;
            }
        }
        self.look_up(tier, &key).await;
    }

    async fn look_up(&self, tier: &dyn SharedTier, key: &TaskKey) {
        match tier.read(key).await {
            Ok(Kept::State(state)) => self.adopt(key, state),
            Ok(Kept::Forgotten { sequence, at }) => self.forgotten(key, sequence, at),
            Ok(Kept::Nothing) | Err(shared::Alone) => {}
        }
    }

    /// Learns what other replicas know of a task: a client that was told a state by one of them, with the entity tag `told`,
    /// is not told an earlier one. A task that is followed here needs this only where the client was told another state.
    pub(in crate::core) async fn catch_up(&self, key: &TaskKey, told: Option<&HeaderValue>) {
        let Some(tier) = self.budget.tier() else { return };
        let known = self.store.held(key).newest().cloned();
        let is_told = |told| known.as_ref().is_some_and(|state| state.snapshot.etag == told);
        let is_followed = self.book().schedule.contains(key) && told.is_none_or(is_told);
        let is_over = self
            .store
            .fresh(key, Instant::now())
            .is_some_and(|state| state.snapshot.phase == Phase::Terminal);
        if !is_followed && !is_over {
            self.look_up(&**tier, key).await;
        }
    }

    /// Asks the tier about a task that is not known here and cannot be requested now: what other replicas know of it needs
    /// no request.
    pub(in crate::core) async fn consult(&self, key: &TaskKey) {
        let Some(tier) = self.budget.tier() else { return };
        if self.store.held(key).newest().is_some() || self.budget.readiness(Instant::now()) == Readiness::Now
        {
            return;
        }
        if let Ok(Kept::State(state)) = tier.read(key).await {
            self.adopt(key, state);
        }
    }

    /// Takes the state of another replica, unless what is known is as good.
    fn adopt(&self, key: &TaskKey, shared: SharedState) {
        let now = Instant::now();
        let mut book = self.book();
        let held = self.store.held(key);
        let is_known = held.newest().is_some_and(|state| state.snapshot.sequence >= shared.snapshot.sequence);
        if is_known || book.schedule.in_flight(key) || self.is_older(key, &shared) {
            return;
        }
        let state = self.shared_state(&mut book, key, &held, shared);
        let Put::Stored = self.store.put(key, &state, held, now) else { return };
        book.backoffs.invalidate(key);
        let (status, due, early) = (state.snapshot.status.as_u16(), state.due, state.fresh_until);
        if let Some(picture) = book.pictures.get_mut(key) {
            picture.publish(FlightResult::State { state, status, stored: true });
        }
        book.schedule.refreshed(key, due);
        book.schedule.allow_early(key, early);
        book.drop_unwanted(key);
        drop(book);
        self.nudge();
    }

    /// A replica, maybe this one, has forgotten a task.
    fn forgotten(&self, key: &TaskKey, sequence: u64, at: Instant) {
        let mut book = self.book();
        let is_later = |state: &Arc<State>| match state.snapshot.sequence {
            0 => state.snapshot.fetched > at,
            number => number >= sequence,
        };
        if self.store.held(key).newest().is_some_and(is_later) {
            return;
        }
        book.forget(&self.store, key, Instant::now());
        drop(book);
        self.refusals.forget(key);
        self.nudge();
    }
}
