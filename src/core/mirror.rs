//! Owns the interface of the core for readers: `look` is the plain GET, `wait` the long-poll, `watch` the
//! stream.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Duration, Instant};

use super::answer::{Answer, Origin, Reason, Refusal, spread};
use super::budget::Budget;
use super::content::{ContentRequest, Opened};
use super::failure::Failure;
use super::grant::{CancelGrant, Client, Grant};
use super::pacing::Pacer;
use super::policy::Policy;
use super::ports::{Reply, Source};
use super::refresh::{
    Coordinator, FlightResult, Forecast, Joined, OneOffResult, Overview, PacingOverview, Postponed, TaskRow,
    Waiter,
};
use super::snapshot::Phase;
use super::state::State;
use super::store::Store;
use super::task::{Routes, TaskKey};
use super::watch::{Watch, WatchEvent};
use crate::lifecycle::Lifecycle;

/// The interface of the core. A clone is another handle to the same core.
#[derive(Clone)]
pub struct Mirror {
    coordinator: Arc<Coordinator>,
}

impl Mirror {
    /// Builds the core and starts its driver, which runs until the process ends. `pacer` plans the looks.
    pub fn start(
        policy: Policy,
        pacer: Pacer,
        routes: Routes,
        max_bytes: u64,
        budget: Budget,
        source: Arc<dyn Source>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let store = Store::new(max_bytes);
        let coordinator =
            Arc::new(Coordinator::new(policy, pacer, routes, store, budget, source, lifecycle.clone()));
        lifecycle.spawn_background(Arc::clone(&coordinator).run());
        if let Some(tier) = coordinator.budget.tier() {
            lifecycle.spawn_background(Arc::clone(&coordinator).listen(Arc::clone(tier)));
        }
        Self { coordinator }
    }

    /// The answer to a plain GET where the state is fresh. Most requests end here.
    pub fn at_once(&self, grant: &Grant) -> Option<Answer> {
        let now = Instant::now();
        self.coordinator.store.fresh(grant.key(), now).map(|state| self.hit(state, now))
    }

    /// The plain GET: [at once](Self::at_once) where the state is fresh, else as [`ask`](Self::ask).
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn look(
        &self,
        grant: &Grant,
        until: impl Future<Output = ()> + Send,
    ) -> Result<Answer, Refusal> {
        match self.at_once(grant) {
            Some(answer) => Ok(answer),
            None => self.ask(grant, until).await,
        }
    }

    /// The plain GET of a client that found no answer [at once](Self::at_once). The answer is the result of
    /// the shared refresh, or the last known state where the refresh cannot start within `patience` or has
    /// not ended at `until`.
    ///
    /// # Errors
    /// A [`Refusal`] where no known state may stand in.
    pub async fn ask(
        &self,
        grant: &Grant,
        until: impl Future<Output = ()> + Send,
    ) -> Result<Answer, Refusal> {
        tokio::select! {
            biased;
            // If this is dropped, its interest lingers, as that of a client that disconnects does.
            answer = self.joined(grant) => answer,
            () = until => self.latest(grant, None),
        }
    }

    async fn joined(&self, grant: &Grant) -> Result<Answer, Refusal> {
        self.coordinator.consult(grant.key()).await;
        let now = Instant::now();
        let patience = self.coordinator.policy.patience;
        let waiter = match self.coordinator.join(grant, patience) {
            Joined::Fresh(state) => return Ok(self.hit(state, now)),
            Joined::Full => return self.stand_in(grant, Reason::Overloaded, false, patience),
            Joined::Waiter(waiter) => waiter,
        };
        self.refreshed(grant, waiter, now + patience).await
    }

    /// The known state of a task: a fresh one, or one that may stand in.
    pub fn known(&self, grant: &Grant) -> Option<Arc<State>> {
        self.fresh(grant).or_else(|| self.coordinator.store.stand_in(grant.key(), Instant::now()))
    }

    /// The fresh state of a task, if there is one.
    pub fn fresh(&self, grant: &Grant) -> Option<Arc<State>> {
        self.coordinator.store.fresh(grant.key(), Instant::now())
    }

    /// Learns what other replicas know of a task. To be called before a client is told the first state of a watch; `told` is
    /// the entity tag of the state that it has already. Without other replicas it does nothing.
    pub async fn catch_up(&self, grant: &Grant, told: Option<&HeaderValue>) {
        self.coordinator.catch_up(grant.key(), told).await;
    }

    /// The long-poll. It answers with the first state that `is_news` accepts, with a terminal state, when the
    /// task is gone for good, and at `until` with the latest state.
    ///
    /// # Errors
    /// A [`Refusal`] where too many tasks have interest, or where no known state may stand in at `until`.
    pub async fn wait(
        &self,
        grant: &Grant,
        until: impl Future<Output = ()> + Send,
        is_news: impl Fn(&State) -> bool,
    ) -> Result<Answer, Refusal> {
        self.catch_up(grant, None).await;
        // A 404 right after the create is no news: only several in a row mean that the task is gone.
        let is_over = |state: &State| match state.snapshot.phase {
            Phase::Terminal => true,
            Phase::Live => is_news(state),
            Phase::Missing | Phase::Refused => false,
        };
        if let Some(state) = self.fresh(grant).filter(|state| is_over(state)) {
            return Ok(self.hit(state, Instant::now()));
        }
        let mut watch = self.watch(grant, None)?;
        // Checked again, because a state may have landed before the watch began.
        if let Some(state) = watch.skip_known().filter(|state| is_over(state)) {
            return Ok(self.hit(state, Instant::now()));
        }
        let mut until = std::pin::pin!(until);
        let mut trouble = None;
        loop {
            let event = tokio::select! {
                event = watch.next() => event,
                () = &mut until => return self.latest(grant, trouble),
            };
            let now = Instant::now();
            match event {
                WatchEvent::State(state, origin) if is_over(&state) => {
                    let retry_after = self.next_look(&state, now);
                    return Ok(Answer { state, origin, retry_after });
                }
                WatchEvent::State(..) => trouble = None,
                WatchEvent::Estimate(_) => {}
                WatchEvent::Gone(state) => return Ok(self.hit(state, now)),
                WatchEvent::Trouble(refusal) => trouble = Some(refusal),
                WatchEvent::Evicted(Refusal { reason, retry_after }) => {
                    return self.stand_in(grant, reason, false, Duration::from_secs(retry_after));
                }
            }
        }
    }

    /// Subscribes to a task. `told` is the entity tag of the state that the client has already.
    ///
    /// # Errors
    /// A [`Refusal`] where too many tasks have interest.
    pub fn watch(&self, grant: &Grant, told: Option<HeaderValue>) -> Result<Watch, Refusal> {
        let full = || Refusal::overloaded(self.coordinator.policy.patience);
        let waiter = self.coordinator.watch(grant).ok_or_else(full)?;
        Ok(Watch::new(Arc::clone(&self.coordinator), grant.clone(), waiter, told))
    }

    /// The answer to a client whose time is up.
    fn latest(&self, grant: &Grant, trouble: Option<Refusal>) -> Result<Answer, Refusal> {
        let now = Instant::now();
        if let Some(state) = self.fresh(grant) {
            return Ok(self.hit(state, now));
        }
        if let Some(Refusal { reason, retry_after }) = trouble {
            return self.stand_in(grant, reason, true, Duration::from_secs(retry_after));
        }
        self.unasked(grant, self.forecast(grant, now), now)
    }

    /// Cancels a task at the upstream with one request and a permit of its own. A request that was sent is
    /// completed even if the client disconnects.
    ///
    /// # Errors
    /// A [`Refusal`] where the request could not be sent within `patience`, or the upstream failed. After
    /// [`Failure::TimedOut`] or [`Failure::Unreachable`] the task may be cancelled all the same.
    pub async fn cancel(&self, grant: &CancelGrant) -> Result<Reply, Refusal> {
        let result = self.coordinator.cancel(grant).await;
        self.answered_once(result, grant.key(), grant.client())
    }

    /// Opens a content at the upstream with one request and a permit of its own. Nothing of it is kept.
    ///
    /// # Errors
    /// A [`Refusal`] where the request could not be sent within `patience`, or the upstream failed.
    pub async fn open(&self, grant: &Grant, request: ContentRequest) -> Result<Opened, Refusal> {
        let result = self.coordinator.open(grant, request).await;
        self.answered_once(result, grant.key(), grant.client())
    }

    fn answered_once<T>(
        &self,
        result: OneOffResult<T>,
        key: &TaskKey,
        client: &Client,
    ) -> Result<T, Refusal> {
        let now = Instant::now();
        let refused = |reason, start: Instant| {
            Err(Refusal { reason, retry_after: spread(start.saturating_duration_since(now)) })
        };
        match result {
            OneOffResult::Answered(Ok(answer)) => Ok(answer),
            OneOffResult::Answered(Err(failure)) => {
                refused(Reason::Upstream(failure), self.coordinator.forecast(key, client, now).start)
            }
            OneOffResult::Unsent(Forecast { start, reason }) => refused(reason, start),
        }
    }

    /// Whether the store holds a state of the task, or the task has interest or a flight.
    pub fn knows(&self, key: &TaskKey) -> bool {
        self.coordinator.knows(key)
    }

    /// Forgets a task, on all replicas: the upstream is asked for the next client.
    pub async fn purge(&self, key: &TaskKey) {
        self.coordinator.purge(key).await;
    }

    /// The last call in a drain: every client that waits for a refresh, now or later, is answered at once
    /// with the last known state.
    pub fn last_call(&self) {
        self.coordinator.close();
    }

    /// There is a new API key: every task may be asked about again.
    pub fn forgive(&self) {
        self.coordinator.forgive();
    }

    /// Tells the driver that the budget has changed.
    pub fn nudge(&self) {
        self.coordinator.nudge();
    }

    /// The state as a server-sent event that all watches share. It counts as memory of the store.
    pub fn event(&self, grant: &Grant, state: &Arc<State>, render: impl FnOnce() -> Bytes) -> Bytes {
        let (event, is_new) = state.delivery.event(render);
        if is_new {
            self.coordinator.reweigh(grant.key(), state);
        }
        event
    }

    /// The terminal state of a task that can be handed out without asking again.
    pub fn finished(&self, grant: &Grant) -> Option<Arc<State>> {
        self.fresh(grant).filter(|state| state.snapshot.phase == Phase::Terminal)
    }

    /// The core's figures at this moment.
    pub fn overview(&self) -> Overview<'_> {
        self.coordinator.overview()
    }

    /// The figures of the pacing, with at most so many curves.
    pub fn pacing(&self, most_curves: usize) -> PacingOverview {
        self.coordinator.pacing(most_curves)
    }

    /// The number of tasks with interest or a recent refresh, and up to `most` of them, the oldest first.
    pub fn survey(&self, most: usize) -> (usize, Vec<TaskRow>) {
        self.coordinator.survey(most, Instant::now())
    }

    async fn refreshed(
        &self,
        grant: &Grant,
        mut waiter: Waiter,
        start_by: Instant,
    ) -> Result<Answer, Refusal> {
        let result = loop {
            if !waiter.started() {
                let forecast = self.forecast(grant, Instant::now());
                if forecast.start > start_by {
                    return self.sent_away(grant, waiter, forecast);
                }
            }
            match waiter.landing(start_by).await {
                Ok(result) => break result,
                Err(Postponed) if Instant::now() < start_by => {}
                // What is left of the shared budget has gone to others.
                Err(Postponed) => {
                    let forecast = self.forecast(grant, Instant::now());
                    return self.sent_away(grant, waiter, Forecast { reason: Reason::Budget, ..forecast });
                }
            }
        };
        let now = Instant::now();
        match result {
            Some(FlightResult::Lost) => self.stand_in(grant, Reason::Overloaded, true, Duration::ZERO),
            None if waiter.is_evicted() => {
                self.stand_in(grant, Reason::Overloaded, false, self.coordinator.policy.patience)
            }
            None => self.sent_away(grant, waiter, self.forecast(grant, now)),
            Some(FlightResult::Failure(failure)) => self.in_vain(grant, waiter, failure, now),
            Some(FlightResult::State { state, status, stored }) => {
                waiter.interest.linger(None);
                let Waiter { known_before, collapsed, .. } = waiter;
                let origin = Origin::Fetched { known_before, status, stored, collapsed };
                let retry_after = self.next_look(&state, now);
                Ok(Answer { state, origin, retry_after })
            }
        }
    }

    fn hit(&self, state: Arc<State>, now: Instant) -> Answer {
        let retry_after = self.next_look(&state, now);
        Answer { state, origin: Origin::Hit, retry_after }
    }

    /// Answers a client whose refresh has not started. Its interest lingers and keeps the place in the line.
    fn sent_away(&self, grant: &Grant, mut waiter: Waiter, forecast: Forecast) -> Result<Answer, Refusal> {
        let answer = self.unasked(grant, forecast, Instant::now());
        waiter.interest.linger(Some(self.return_time(&answer)));
        answer
    }

    /// Answers a client whose refresh has failed.
    fn in_vain(
        &self,
        grant: &Grant,
        mut waiter: Waiter,
        failure: Failure,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        let wait = self.forecast(grant, now).start.saturating_duration_since(now);
        let answer = self.stand_in(grant, Reason::Upstream(failure), true, wait);
        waiter.interest.linger(Some(self.return_time(&answer)));
        answer
    }

    /// The answer where the upstream has not been asked.
    fn unasked(&self, grant: &Grant, forecast: Forecast, now: Instant) -> Result<Answer, Refusal> {
        self.stand_in(grant, forecast.reason, false, forecast.start.saturating_duration_since(now))
    }

    fn stand_in(
        &self,
        grant: &Grant,
        reason: Reason,
        asked: bool,
        wait: Duration,
    ) -> Result<Answer, Refusal> {
        let retry_after = spread(wait);
        match self.coordinator.store.stand_in(grant.key(), Instant::now()) {
            Some(state) => {
                let retry_after = (state.snapshot.phase == Phase::Live).then_some(retry_after);
                Ok(Answer { state, origin: Origin::StandIn { reason, asked }, retry_after })
            }
            None => Err(Refusal { reason, retry_after }),
        }
    }

    fn forecast(&self, grant: &Grant, now: Instant) -> Forecast {
        self.coordinator.forecast(grant.key(), grant.client(), now)
    }

    /// The time within which a client that obeys `Retry-After` asks again.
    fn return_time(&self, answer: &Result<Answer, Refusal>) -> Duration {
        let retry_after = match answer {
            Ok(answer) => answer.retry_after.unwrap_or(0),
            Err(refusal) => refusal.retry_after,
        };
        Duration::from_secs(retry_after) + self.coordinator.policy.patience
    }

    /// The seconds after which a client should ask again: just after the next refresh. `None` unless the task
    /// is live.
    fn next_look(&self, state: &State, now: Instant) -> Option<u64> {
        (state.snapshot.phase == Phase::Live)
            .then(|| spread(state.due.saturating_duration_since(now) + self.coordinator.lag()))
    }
}
