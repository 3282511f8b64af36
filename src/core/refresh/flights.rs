//! Owns the flights: their start, the changes that their landing causes, and the publication of their
//! results.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use tokio::time::{Duration, Instant, sleep_until};

use super::book::Book;
use super::coordinator::Coordinator;
use super::flown::{Flown, Settled};
use super::landing::Landing;
use super::ownership::OwnAnswer;
use super::picture::{FlightResult, Picture};
use crate::core::budget::{Change, Permit, Position, Readiness};
use crate::core::cause::Cause;
use crate::core::failure::{Failure, Scope};
use crate::core::identity::Aliases;
use crate::core::pacing::{Before, Look};
use crate::core::snapshot::{Phase, Snapshot};
use crate::core::state::State;
use crate::core::store::{Held, Put};
use crate::core::task::TaskKey;

impl Coordinator {
    /// The driver: starts each flight when it is due. Runs until it is dropped.
    pub(in crate::core) async fn run(self: Arc<Self>) {
        loop {
            let alarm = self.dispatch();
            match alarm {
                Some(at) => {
                    tokio::select! {
                        () = sleep_until(at) => {}
                        () = self.sooner.notified() => {}
                    }
                }
                None => self.sooner.notified().await,
            }
        }
    }

    fn dispatch(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut book = self.book();
        book.alarm = self.send_due(&mut book, now);
        book.alarm
    }

    /// Dispatches outside the driver, and wakes the driver where its alarm would be too late.
    pub(super) fn dispatch_beside(self: &Arc<Self>, book: &mut Book, now: Instant) {
        let Some(next) = self.send_due(book, now) else { return };
        if book.alarm.is_none_or(|alarm| next < alarm) {
            book.alarm = Some(next);
            self.sooner.notify_one();
        }
    }

    /// Starts every flight that is due and gets a permit. Returns the time of the next dispatch.
    fn send_due(self: &Arc<Self>, book: &mut Book, now: Instant) -> Option<Instant> {
        book.sweep(now);
        loop {
            if self.send_one_off(book, now) {
                continue;
            }
            if !book.schedule.has_due(now) {
                if self.send_early(book, now) {
                    continue;
                }
                break;
            }
            let Some(permit) = self.budget.acquire(now) else { break };
            let Some((key, since)) = book.schedule.start(now) else { break };
            if self.budget.gate() == Position::Open {
                let since = book.opened.map_or(since, |opened| opened.max(since));
                self.set_lag(now.saturating_duration_since(since));
            }
            self.fly(book, key, permit, now);
        }
        let due = book.schedule.next_due(now);
        if due.is_none_or(|due| due > now) {
            self.set_lag(Duration::ZERO);
            if !self.one_offs_have_turn(book, now) {
                return due.into_iter().chain(self.next_early(book, now)).min();
            }
        }
        match self.budget.readiness(now) {
            Readiness::Now => Some(now + Duration::from_millis(1)),
            Readiness::At(at) => Some(at),
            // The next landing dispatches again.
            Readiness::Busy => None,
        }
    }

    /// The time at which a key may come early, with a token that would be lost.
    fn next_early(&self, book: &Book, now: Instant) -> Option<Instant> {
        Some(book.schedule.next_early()?.max(self.budget.spare_at(now)?))
    }

    /// Starts a flight of a key that may come early. Returns whether there was one.
    fn send_early(self: &Arc<Self>, book: &mut Book, now: Instant) -> bool {
        if self.next_early(book, now).is_none_or(|at| at > now) {
            return false;
        }
        let Some(key) = book.schedule.first_early(now) else { return false };
        let Some(permit) = self.budget.acquire(now) else { return false };
        book.schedule.start_early(&key);
        self.fly(book, key, permit, now);
        true
    }

    /// Whether it is the turn of a request that is no flight. Such requests take turns with the clients that have a due key,
    /// or, where keys may come early, with all, of which not each may have one.
    pub(super) fn one_offs_have_turn(&self, book: &mut Book, now: Instant) -> bool {
        if book.one_offs.is_empty() {
            return false;
        }
        let has_early = book.schedule.next_early().is_some_and(|from| from <= now);
        let clients = match book.schedule.clients_due(now) {
            0 if has_early && self.budget.spare_at(now).is_some() => book.schedule.clients(),
            due => due,
        };
        book.one_offs.have_turn(clients)
    }

    fn fly(self: &Arc<Self>, book: &mut Book, key: TaskKey, permit: Permit, now: Instant) {
        let mut cause = Cause::default();
        if let Some(picture) = book.pictures.get_mut(&key) {
            picture.start();
            cause = picture.take_cause();
        }
        book.one_offs.flight_started();
        let coordinator = Arc::clone(self);
        // In the background: a drain waits for clients, not for refreshes that no client wants any more.
        if let Some(tier) = self.budget.tier() {
            let tier = Arc::clone(tier);
            let weight = book.schedule.clients_due(now);
            let hint = book.expect_hint(&key);
            let flight = Box::pin(async move {
                coordinator.fly_together(&*tier, &key, permit, weight, hint).await;
            });
            self.lifecycle.spawn_background(cause.during(flight));
            return;
        }
        let pass = permit.pass();
        let flight = Box::pin(async move {
            let land = |result: Result<OwnAnswer, Failure>| {
                coordinator.land(&key, Settled::Not(pass), result.map(Flown::Answer));
            };
            let landing = Landing::new(&coordinator, &key, land);
            landing.of(coordinator.ask(&key, permit)).await;
        });
        self.lifecycle.spawn_background(cause.during(flight));
    }

    pub(super) fn land(self: &Arc<Self>, key: &TaskKey, settled: Settled, result: Result<Flown, Failure>) {
        let now = Instant::now();
        let result = result.and_then(|flown| match flown {
            Flown::Answer(answer) => self.with_status(key, answer, now).map(Flown::Answer),
            other => Ok(other),
        });
        let mut book = self.book();
        let change = match settled {
            Settled::Not(pass) => self.budget.settle(now, pass, key, result.as_ref().err().copied()),
            Settled::With(change) => change,
        };
        // Before this flight's own backoff begins: an opened gate ends only older backoffs.
        self.heed(&mut book, change, now);
        book.hints.remove(key);
        let outdated = book.pictures.get(key).is_some_and(Picture::is_outdated);
        // A cancellation has ended the task during this flight.
        let ended = outdated.then(|| self.store.absorbing(key, now)).flatten();
        let (outcome, due, refreshed) = match (ended, result) {
            (Some(state), _) => {
                let (status, due) = (state.snapshot.status.as_u16(), state.fresh_until);
                (FlightResult::State { state, status, stored: false }, due, true)
            }
            (None, Ok(Flown::Shared(shared))) => {
                book.backoffs.invalidate(key);
                let held = self.store.held(key);
                let state = self.shared_state(&mut book, key, &held, shared);
                let (result, due) = self.stored(key, state, held, outdated, now);
                (result, due, true)
            }
            (None, Ok(Flown::Made(state))) => {
                book.backoffs.invalidate(key);
                let (result, due) = self.stored(key, state, self.store.held(key), outdated, now);
                (result, due, true)
            }
            (None, Ok(Flown::Outdated(state))) => {
                book.forget(&self.store, key, now);
                let (result, due) = self.stored(key, state, self.store.held(key), true, now);
                (result, due, true)
            }
            (None, Ok(Flown::Answer(answer))) if answer.snapshot.phase == Phase::Refused => {
                let failure = Failure::Refused { status: answer.snapshot.status.as_u16() };
                let due = book.back_off(key, failure, now);
                (self.refusal(key, answer, failure, due, outdated), due, true)
            }
            (None, Ok(Flown::Answer(answer))) => {
                if book.backoffs.contains_key(key) {
                    book.backoffs.invalidate(key);
                }
                let outcome = self.keep(&mut book, key, answer, outdated, now);
                (outcome.0, outcome.1, true)
            }
            // The whole key waits, and nothing is known of the task.
            (None, Err(failure @ Failure::RateLimited { .. })) => {
                let due = book.schedule.due(key).unwrap_or(now);
                (FlightResult::Failure(failure), due, false)
            }
            (None, Err(failure)) => (FlightResult::Failure(failure), book.back_off(key, failure, now), true),
        };
        if let FlightResult::Failure(Failure::RateLimited { .. }) = outcome {
            self.counters.rate_limited.add();
            let is_awaited = book.pictures.get(key).is_some_and(Picture::is_watched);
            if !is_awaited || self.store.stand_in(key, now).is_some() {
                self.counters.absorbed.add();
            }
        }
        book.schedule.land(key, due, refreshed);
        if let FlightResult::State { state, stored: true, .. } = &outcome {
            book.schedule.allow_early(key, state.fresh_until);
        }
        if let Some(picture) = book.pictures.get_mut(key) {
            picture.land(outcome);
        }
        book.drop_unwanted(key);
        self.dispatch_beside(&mut book, now);
        drop(book);
        self.budget.report(change, now);
    }

    /// An answer without a status is no state of a task that had one before: it is an error in a 200. A 202 says by
    /// itself that the task goes on.
    pub(super) fn with_status(
        &self,
        key: &TaskKey,
        answer: OwnAnswer,
        now: Instant,
    ) -> Result<OwnAnswer, Failure> {
        let Snapshot { phase, word, status, .. } = &answer.snapshot;
        let had_one = |state: Arc<State>| state.snapshot.word.is_some();
        let is_open = *phase == Phase::Live && word.is_none() && *status != StatusCode::ACCEPTED;
        if is_open && self.store.stand_in(key, now).is_some_and(had_one) {
            return Err(Failure::InvalidResponse { status: status.as_u16() });
        }
        Ok(answer)
    }

    /// Stores the snapshot of a flight. Returns the result to publish, and the time at which the key is due
    /// again.
    fn keep(
        &self,
        book: &mut Book,
        key: &TaskKey,
        answer: OwnAnswer,
        outdated: bool,
        now: Instant,
    ) -> (FlightResult, Instant) {
        let held = self.store.held(key);
        let state = self.state(book, key, &held, answer);
        self.stored(key, state, held, outdated, now)
    }

    fn stored(
        &self,
        key: &TaskKey,
        state: Arc<State>,
        held: Held,
        outdated: bool,
        now: Instant,
    ) -> (FlightResult, Instant) {
        let status = state.snapshot.status.as_u16();
        if outdated {
            return (FlightResult::State { state, status, stored: false }, now);
        }
        match self.store.put(key, &state, held, now) {
            Put::Stored => {
                let due = state.due;
                (FlightResult::State { state, status, stored: true }, due)
            }
            Put::Absorbed(terminal) => {
                let due = terminal.fresh_until;
                (FlightResult::State { state: terminal, status, stored: false }, due)
            }
        }
    }

    /// The result of a flight that the upstream has refused: with nothing known its answer is handed out until the
    /// task is due again, else it is a failure.
    fn refusal(
        &self,
        key: &TaskKey,
        answer: OwnAnswer,
        failure: Failure,
        until: Instant,
        outdated: bool,
    ) -> FlightResult {
        let now = answer.snapshot.fetched;
        let held = self.store.held(key);
        if held.has_stand_in(now) {
            return FlightResult::Failure(failure);
        }
        let status = answer.snapshot.status.as_u16();
        let (first_seen, aliases) = held.history(now);
        let state = State::refused(answer.snapshot, first_seen, aliases, until);
        if !outdated {
            self.store.put(key, &state, held, now);
        }
        FlightResult::State { state, status, stored: !outdated }
    }

    /// The state of a new answer, first seen when the held states were, with their aliases.
    pub(super) fn state(&self, book: &mut Book, key: &TaskKey, held: &Held, answer: OwnAnswer) -> Arc<State> {
        let OwnAnswer { snapshot, confirmed } = answer;
        let (first_seen, mut aliases) = held.history(snapshot.fetched);
        if let Some(ids) = confirmed {
            aliases = aliases.with(&ids);
        }
        self.planned(book, key, held, snapshot, (first_seen, aliases))
    }

    /// The state of a snapshot with this history. The pacing looks at it once.
    pub(super) fn planned(
        &self,
        book: &mut Book,
        key: &TaskKey,
        held: &Held,
        mut snapshot: Snapshot,
        (first_seen, aliases): (Instant, Aliases),
    ) -> Arc<State> {
        let before = held.newest().map_or(Before::Nothing, |known| known.before());
        let look = Look { route: key.route(), first_seen, before, snapshot: &snapshot };
        let now = snapshot.fetched;
        let plan = book.looked(key, look, self.budget.flow(now));
        // They are learnt, and would only take memory.
        snapshot.hints = None;
        State::new(snapshot, first_seen, aliases, &self.policy.retention, plan)
    }

    /// Applies the opening of the gate to the keys that waited behind it.
    pub(super) fn heed(&self, book: &mut Book, change: Change, now: Instant) {
        let Change::Opened { because } = change else { return };
        book.opened = Some(now);
        self.set_lag(Duration::ZERO);
        if because.scope() == Scope::Service || because.is_of_key() {
            book.forgive(now);
        }
    }

    fn set_lag(&self, lag: Duration) {
        self.lag.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
