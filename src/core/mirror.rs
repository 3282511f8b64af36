//! Owns the ways to look at a task: `look` is the plain GET, `wait` the long-poll, `watch` the stream.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::{Duration, Instant};

use super::answer::{Answer, Origin, Reason, Refusal, spread};
use super::budget::Budget;
use super::failure::Failure;
use super::grant::{CancelGrant, Grant};
use super::policy::Policy;
use super::ports::{Reply, Source};
use super::refresh::{Cancellation, Coordinator, FlightResult, Forecast, Joined, Overview, TaskRow, Waiter};
use super::snapshot::Phase;
use super::state::State;
use super::store::Store;
use super::task::{Routes, TaskKey};
use super::watch::{Watch, WatchEvent};
use crate::lifecycle::Lifecycle;

/// The picture of every task. A clone is another handle to the same pictures.
#[derive(Clone)]
pub struct Mirror {
    coordinator: Arc<Coordinator>,
}

impl Mirror {
    /// Puts the core together, and sets its driver going until the process ends.
    pub fn start(
        policy: Policy,
        routes: Routes,
        max_bytes: u64,
        budget: Budget,
        source: Arc<dyn Source>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let store = Store::new(max_bytes);
        let coordinator =
            Arc::new(Coordinator::new(policy, routes, store, budget, source, lifecycle.clone()));
        lifecycle.spawn_background(Arc::clone(&coordinator).run());
        Self { coordinator }
    }

    /// The plain GET's answer where it can be had at once, without asking: the way of most requests.
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

    /// The plain GET of a client that has found nothing [at once](Self::at_once): with the shared refresh, or with the
    /// last known state where that cannot start soon or has not ended at `until`.
    ///
    /// # Errors
    /// A [`Refusal`] where no state is known that could be handed out.
    pub async fn ask(
        &self,
        grant: &Grant,
        until: impl Future<Output = ()> + Send,
    ) -> Result<Answer, Refusal> {
        tokio::select! {
            biased;
            // Dropped, it leaves its interest behind for a while, as a client that goes away does.
            answer = self.joined(grant) => answer,
            () = until => self.latest(grant, None),
        }
    }

    async fn joined(&self, grant: &Grant) -> Result<Answer, Refusal> {
        let now = Instant::now();
        let patience = self.coordinator.policy.patience;
        let waiter = match self.coordinator.join(grant, Some(patience)) {
            Joined::Fresh(state) => return Ok(self.hit(state, now)),
            Joined::Full => return self.stand_in(grant, Reason::Overloaded, false, patience),
            Joined::Waiter(waiter) => waiter,
        };
        self.refreshed(grant, waiter, now + patience).await
    }

    /// What is known of a task, fresh or only fit to stand in.
    pub fn known(&self, grant: &Grant) -> Option<Arc<State>> {
        self.fresh(grant).or_else(|| self.coordinator.store.stand_in(grant.key(), Instant::now()))
    }

    /// The state that can be handed out without asking, if there is one.
    pub fn fresh(&self, grant: &Grant) -> Option<Arc<State>> {
        self.coordinator.store.fresh(grant.key(), Instant::now())
    }

    /// The long-poll: answers when `is_news` likes a state, when the task is over, and at `until` with the
    /// latest.
    ///
    /// # Errors
    /// A [`Refusal`] where at `until` nothing is known that could be handed out.
    pub async fn wait(
        &self,
        grant: &Grant,
        until: impl Future<Output = ()> + Send,
        is_news: impl Fn(&State) -> bool,
    ) -> Result<Answer, Refusal> {
        // A 404 right after the create is no news: that the task is gone shows when it stays.
        let is_over = |state: &State| match state.snapshot.phase {
            Phase::Terminal => true,
            Phase::Live => is_news(state),
            Phase::Missing => false,
        };
        if let Some(state) = self.fresh(grant).filter(|state| is_over(state)) {
            return Ok(self.hit(state, Instant::now()));
        }
        let mut watch = self.watch(grant, None)?;
        // Looked at again now that nothing can be missed.
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
                WatchEvent::Gone(state) => return Ok(self.hit(state, now)),
                WatchEvent::Trouble(refusal) => trouble = Some(refusal),
            }
        }
    }

    /// Watches a task; `told` is the tag of the state that the watcher has already.
    ///
    /// # Errors
    /// A [`Refusal`] where too many tasks have interest.
    pub fn watch(&self, grant: &Grant, told: Option<HeaderValue>) -> Result<Watch, Refusal> {
        let waiter = self.coordinator.watch(grant).ok_or_else(|| Refusal {
            reason: Reason::Overloaded,
            retry_after: spread(self.coordinator.policy.patience),
        })?;
        Ok(Watch::new(Arc::clone(&self.coordinator), grant.clone(), waiter, told))
    }

    /// What somebody gets whose time is up.
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

    /// Cancels a task at the upstream: once, on a permit of its own, and to the end even if the client leaves.
    ///
    /// # Errors
    /// A [`Refusal`] where it could not be sent within `patience`, or no good answer came; after
    /// [`Failure::TimedOut`] or [`Failure::Unreachable`] the task may be cancelled all the same.
    pub async fn cancel(&self, grant: &CancelGrant) -> Result<Reply, Refusal> {
        let refused = |reason, wait| Refusal { reason, retry_after: spread(wait) };
        match self.coordinator.cancel(grant).await {
            Cancellation::Answered(Ok(reply)) => Ok(reply),
            Cancellation::Answered(Err(failure)) => {
                let wait = self.coordinator.forecast(grant.key(), grant.client(), Instant::now());
                let wait = wait.start.saturating_duration_since(Instant::now());
                Err(refused(Reason::Upstream(failure), wait))
            }
            Cancellation::Unsent(forecast) => {
                Err(refused(forecast.reason, forecast.start.saturating_duration_since(Instant::now())))
            }
        }
    }

    /// Whether something is known of a task, or somebody else is asking about it just now.
    pub fn knows(&self, key: &TaskKey) -> bool {
        self.coordinator.knows(key)
    }

    /// Forgets a task: the next one who asks gets the upstream's word.
    pub fn purge(&self, key: &TaskKey) {
        self.coordinator.purge(key);
    }

    /// The last call in a drain: whoever waits for a refresh is answered with what there is, and so is who comes yet.
    pub fn last_call(&self) {
        self.coordinator.close();
    }

    /// The budget has changed: what waits for it is looked at again.
    pub fn nudge(&self) {
        self.coordinator.nudge();
    }

    /// The core's figures at this moment.
    pub fn overview(&self) -> Overview<'_> {
        self.coordinator.overview()
    }

    /// Up to `most` tasks that are looked after, or were lately, the oldest first; and how many there are.
    pub fn survey(&self, most: usize) -> (usize, Vec<TaskRow>) {
        self.coordinator.survey(most, Instant::now())
    }

    async fn refreshed(
        &self,
        grant: &Grant,
        mut waiter: Waiter,
        start_by: Instant,
    ) -> Result<Answer, Refusal> {
        if !waiter.started() {
            let forecast = self.forecast(grant, Instant::now());
            if forecast.start > start_by {
                return self.sent_away(grant, waiter, forecast);
            }
        }
        let result = waiter.landing(start_by).await;
        let now = Instant::now();
        match result {
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

    /// The client leaves before its refresh has started. Its interest keeps its place in the line.
    fn sent_away(&self, grant: &Grant, mut waiter: Waiter, forecast: Forecast) -> Result<Answer, Refusal> {
        let answer = self.unasked(grant, forecast, Instant::now());
        waiter.interest.linger(Some(self.return_time(&answer)));
        answer
    }

    /// The client's refresh has failed.
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

    /// What is handed out where the upstream has not been asked.
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

    /// By when a client that obeys will have asked again.
    fn return_time(&self, answer: &Result<Answer, Refusal>) -> Duration {
        let retry_after = match answer {
            Ok(answer) => answer.retry_after.unwrap_or(0),
            Err(refusal) => refusal.retry_after,
        };
        Duration::from_secs(retry_after) + self.coordinator.policy.patience
    }

    /// When a client should look again: after the task's next refresh, if it will have one.
    fn next_look(&self, state: &State, now: Instant) -> Option<u64> {
        (state.snapshot.phase == Phase::Live)
            .then(|| spread(state.fresh_until.saturating_duration_since(now) + self.coordinator.lag()))
    }
}
