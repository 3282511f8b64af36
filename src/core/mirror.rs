//! Owns the ways to look at a task: `look` is the plain GET, `wait` the long-poll, `watch` the stream.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::{Duration, Instant};

use super::budget::Budget;
use super::chronicle::Chronicle;
use super::desk::{Cancellation, Desk, Forecast, Joined};
pub use super::desk::{Census, Line, Next, Policy, Queue, Reason};
use super::grant::{CancelGrant, Grant};
use super::interest::Seat;
use super::picture::Outcome;
use super::ports::{Failure, Reply, Source};
use super::snapshot::{Phase, State};
use super::store::{Fill, Store};
use super::tally::Tally;
use super::task::TaskKey;
use super::watch::{Sight, Watch};
use crate::lifecycle::Lifecycle;

/// What is handed out.
#[derive(Debug)]
pub struct Answer {
    /// The state, and with it the bytes.
    pub state: Arc<State>,
    /// How it was come by.
    pub origin: Origin,
    /// When to ask again, in seconds, for a task under way.
    pub retry_after: Option<u64>,
}

/// How an answer was come by: what `Cache-Status` (RFC 9211) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was fresh.
    Hit,
    /// The upstream was asked.
    Fetched {
        /// Whether an older state was known.
        known_before: bool,
        /// The upstream's status code.
        status: u16,
        /// Whether it is kept.
        stored: bool,
        /// Whether somebody else's request brought it.
        collapsed: bool,
    },
    /// It stands in for an answer that cannot be had.
    StandIn {
        /// Why that is.
        reason: Reason,
        /// Whether the upstream was asked, in vain.
        asked: bool,
    },
}

/// Why there is no answer, and when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// When to ask again, in seconds.
    pub retry_after: u64,
}

/// The picture of every task. A clone is another handle to the same pictures.
#[derive(Clone)]
pub struct Mirror {
    desk: Arc<Desk>,
}

impl Mirror {
    /// Puts the core together, and sets its driver going until the process ends.
    pub fn start(
        policy: Policy,
        max_bytes: u64,
        budget: Budget,
        source: Arc<dyn Source>,
        lifecycle: &Lifecycle,
    ) -> Self {
        let store = Store::new(max_bytes);
        let desk = Arc::new(Desk::new(policy, store, budget, source, lifecycle.clone()));
        lifecycle.spawn_background(Arc::clone(&desk).run());
        Self { desk }
    }

    /// The plain GET's answer where it can be had at once, without asking: the way of most requests.
    pub fn at_once(&self, grant: &Grant) -> Option<Answer> {
        let now = Instant::now();
        self.desk.store.fresh(grant.key(), now).map(|state| self.hit(state, now))
    }

    /// The plain GET: at once where the state is fresh or its refresh cannot start soon, else with the
    /// shared refresh.
    ///
    /// # Errors
    /// A [`Refusal`] where nothing is known that could be handed out.
    pub async fn look(&self, grant: &Grant) -> Result<Answer, Refusal> {
        match self.at_once(grant) {
            Some(answer) => Ok(answer),
            None => self.ask(grant).await,
        }
    }

    async fn ask(&self, grant: &Grant) -> Result<Answer, Refusal> {
        let now = Instant::now();
        let patience = self.desk.policy.patience;
        let seat = match self.desk.join(grant, Some(patience)) {
            Joined::Fresh(state) => return Ok(self.hit(state, now)),
            Joined::Full => return self.stand_in(grant, Reason::Overloaded, false, patience),
            Joined::Seat(seat) => seat,
        };
        self.refreshed(grant, seat, now + patience).await
    }

    /// The plain GET for somebody who has found nothing [at once](Self::at_once) and waits no longer than `until`.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub async fn look_until(
        &self,
        grant: &Grant,
        until: impl Future<Output = ()> + Send,
    ) -> Result<Answer, Refusal> {
        tokio::select! {
            biased;
            // Dropped, a look leaves its interest behind for a while, as a client does that goes away.
            answer = self.ask(grant) => answer,
            () = until => self.latest(grant, None),
        }
    }

    /// What is known of a task, fresh or only fit to stand in.
    pub fn known(&self, grant: &Grant) -> Option<Arc<State>> {
        self.fresh(grant).or_else(|| self.desk.store.stand_in(grant.key(), Instant::now()))
    }

    /// The state that can be handed out without asking, if there is one.
    pub fn fresh(&self, grant: &Grant) -> Option<Arc<State>> {
        self.desk.store.fresh(grant.key(), Instant::now())
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
            let sight = tokio::select! {
                sight = watch.next() => sight,
                () = &mut until => return self.latest(grant, trouble),
            };
            let now = Instant::now();
            match sight {
                Sight::State(state, origin) if is_over(&state) => {
                    let retry_after = self.next_look(&state, now);
                    return Ok(Answer { state, origin, retry_after });
                }
                Sight::State(..) => trouble = None,
                Sight::Gone(state) => return Ok(self.hit(state, now)),
                Sight::Trouble(refusal) => trouble = Some(refusal),
            }
        }
    }

    /// Watches a task; `told` is the tag of the state that the watcher has already.
    ///
    /// # Errors
    /// A [`Refusal`] where too many tasks have interest.
    pub fn watch(&self, grant: &Grant, told: Option<HeaderValue>) -> Result<Watch, Refusal> {
        let seat = self.desk.watch(grant).ok_or_else(|| Refusal {
            reason: Reason::Overloaded,
            retry_after: spread(self.desk.policy.patience),
        })?;
        Ok(Watch::new(Arc::clone(&self.desk), grant.clone(), seat, told))
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
        match self.desk.cancel(grant).await {
            Cancellation::Answered(Ok(reply)) => Ok(reply),
            Cancellation::Answered(Err(failure)) => {
                let wait = self.desk.forecast(grant.key(), grant.client(), Instant::now());
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
        self.desk.knows(key)
    }

    /// Forgets a task: the next one who asks gets the upstream's word.
    pub fn purge(&self, key: &TaskKey) {
        self.desk.purge(key);
    }

    /// The last call in a drain: whoever waits for a refresh is answered with what there is, and so is who comes yet.
    pub fn last_call(&self) {
        self.desk.close();
    }

    /// The budget has changed: what waits for it is looked at again.
    pub fn nudge(&self) {
        self.desk.nudge();
    }

    /// What is held because somebody is interested.
    pub fn census(&self) -> Census {
        self.desk.census()
    }

    /// The tasks that are to be asked about.
    pub fn queue(&self) -> Queue {
        self.desk.queue()
    }

    /// How full the memory is: of tasks that are known, and of those that are missing.
    pub fn fill(&self) -> [Fill; 2] {
        self.desk.store.fill()
    }

    /// Up to `most` tasks that are looked after, or were lately, the oldest first; and how many there are.
    pub fn survey(&self, most: usize) -> (usize, Vec<Line>) {
        self.desk.survey(most, Instant::now())
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Tally {
        &self.desk.tally
    }

    /// What the upstream did lately.
    pub fn chronicle(&self) -> &Chronicle {
        &self.desk.chronicle
    }

    /// How long tasks that are due wait for their turn just now.
    pub fn lag(&self) -> Duration {
        self.desk.lag()
    }

    async fn refreshed(&self, grant: &Grant, mut seat: Seat, start_by: Instant) -> Result<Answer, Refusal> {
        if !seat.started() {
            let forecast = self.forecast(grant, Instant::now());
            if forecast.start > start_by {
                return self.sent_away(grant, seat, forecast);
            }
        }
        let outcome = seat.landing(start_by).await;
        let now = Instant::now();
        match outcome {
            None => self.sent_away(grant, seat, self.forecast(grant, now)),
            Some(Outcome::Failure(failure)) => self.in_vain(grant, seat, failure, now),
            Some(Outcome::State { state, status, stored }) => {
                seat.interest.linger(None);
                let Seat { known_before, collapsed, .. } = seat;
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
    fn sent_away(&self, grant: &Grant, mut seat: Seat, forecast: Forecast) -> Result<Answer, Refusal> {
        let answer = self.unasked(grant, forecast, Instant::now());
        seat.interest.linger(Some(self.return_time(&answer)));
        answer
    }

    /// The client's refresh has failed.
    fn in_vain(
        &self,
        grant: &Grant,
        mut seat: Seat,
        failure: Failure,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        let wait = self.forecast(grant, now).start.saturating_duration_since(now);
        let answer = self.stand_in(grant, Reason::Upstream(failure), true, wait);
        seat.interest.linger(Some(self.return_time(&answer)));
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
        match self.desk.store.stand_in(grant.key(), Instant::now()) {
            Some(state) => {
                let retry_after = (state.snapshot.phase == Phase::Live).then_some(retry_after);
                Ok(Answer { state, origin: Origin::StandIn { reason, asked }, retry_after })
            }
            None => Err(Refusal { reason, retry_after }),
        }
    }

    fn forecast(&self, grant: &Grant, now: Instant) -> Forecast {
        self.desk.forecast(grant.key(), grant.client(), now)
    }

    /// By when a client that obeys will have asked again.
    fn return_time(&self, answer: &Result<Answer, Refusal>) -> Duration {
        let retry_after = match answer {
            Ok(answer) => answer.retry_after.unwrap_or(0),
            Err(refusal) => refusal.retry_after,
        };
        Duration::from_secs(retry_after) + self.desk.policy.patience
    }

    /// When a client should look again: after the task's next refresh, if it will have one.
    fn next_look(&self, state: &State, now: Instant) -> Option<u64> {
        (state.snapshot.phase == Phase::Live)
            .then(|| spread(state.fresh_until.saturating_duration_since(now) + self.desk.lag()))
    }
}

/// Whole seconds, at least one, and up to a fifth later: clients told the same do not come back at once.
pub(super) fn spread(wait: Duration) -> u64 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let seconds = seconds.max(1);
    seconds + fastrand::u64(0..=seconds.div_ceil(5))
}
