//! Owns the deadlines of a state: the time until which it is fresh, and the time until which it may stand in.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::delivery::Delivery;
use super::identity::Aliases;
use super::pacing::{Before, Estimate, Plan, Track};
use super::snapshot::{Phase, Snapshot};
use super::time::later;

/// The longest interval that a live answer can impose by its `Retry-After`.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The lifetimes of states.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The longest time for which a terminal state is fresh.
    pub terminal_ttl: Duration,
    /// The time for which a missing state is fresh.
    pub not_found_ttl: Duration,
    /// The time for which a stale state may stand in when the upstream cannot answer.
    pub stale_for: Duration,
}

/// A snapshot of a task, and its deadlines.
#[derive(Debug)]
pub struct State {
    /// The answer of the upstream.
    pub snapshot: Snapshot,
    /// The time of the gateway's first answer about the task.
    pub first_seen: Instant,
    /// The confirmed aliases of the task.
    pub aliases: Aliases,
    /// The time until which the state is fresh: it is handed out, and the upstream is not asked.
    pub fresh_until: Instant,
    /// The time at which the task is due again if clients only watch it; not before `fresh_until`.
    pub due: Instant,
    /// The pacing's memory of a live task. Boxed: most states are finished.
    pub track: Option<Box<Track>>,
    /// The time until which the state may stand in when the upstream cannot answer.
    pub usable_until: Instant,
    /// The delivery of the state to clients.
    pub delivery: Delivery,
}

impl State {
    /// Makes the state of a new answer. The deadlines depend on the phase; those of a live one on its plan.
    pub fn new(
        snapshot: Snapshot,
        first_seen: Instant,
        aliases: Aliases,
        retention: &Retention,
        plan: Option<Plan>,
    ) -> Arc<Self> {
        let plan = plan.unwrap_or_default();
        let mut wait = Duration::ZERO;
        let (fresh_for, stale_for) = match snapshot.phase {
            Phase::Live => {
                let least = snapshot.retry_after.unwrap_or_default().min(MAX_INTERVAL);
                wait = plan.wait.max(least);
                (plan.fresh_for.max(least), retention.stale_for)
            }
            Phase::Terminal => {
                let lifetime = snapshot.result_lifetime.unwrap_or(Duration::MAX);
                (lifetime.min(retention.terminal_ttl), retention.stale_for)
            }
            Phase::Missing | Phase::Refused => (retention.not_found_ttl, Duration::ZERO),
        };
        let fresh_until = later(snapshot.fetched, fresh_for);
        let due = later(snapshot.fetched, wait).max(fresh_until);
        let usable_until = later(due, stale_for);
        let (track, delivery) = (plan.track, Delivery::default());
        Arc::new(Self { snapshot, first_seen, aliases, fresh_until, due, track, usable_until, delivery })
    }

    /// Makes the state of a refusal, which is fresh until the task is asked about again.
    pub fn refused(snapshot: Snapshot, first_seen: Instant, aliases: Aliases, until: Instant) -> Arc<Self> {
        let delivery = Delivery::default();
        let (fresh_until, due, usable_until, track) = (until, until, until, None);
        Arc::new(Self { snapshot, first_seen, aliases, fresh_until, due, track, usable_until, delivery })
    }

    /// The knowledge of the task that the pacing needs when the next answer comes.
    pub fn before(&self) -> Before<'_> {
        match (self.snapshot.phase, &self.track) {
            (Phase::Live, Some(track)) => Before::Running { track, word: self.snapshot.word.as_deref() },
            (Phase::Terminal, _) => Before::Over,
            (Phase::Live, None) | (Phase::Missing | Phase::Refused, _) => Before::Nothing,
        }
    }

    /// When the task is likely to end, if that can be told.
    pub fn estimate(&self) -> Option<&Estimate> {
        self.track.as_ref()?.estimate.as_ref()
    }

    /// Whether the state is fresh.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }

    /// Whether the state may stand in when the upstream cannot answer.
    pub fn is_usable(&self, now: Instant) -> bool {
        now < self.usable_until
    }

    /// Whether the state is terminal and not expired: only another terminal state may replace it.
    pub fn absorbs(&self, now: Instant) -> bool {
        self.snapshot.phase == Phase::Terminal && self.is_fresh(now)
    }

    /// Whole seconds since the state was fetched (`Age`; RFC 9111, 5.1).
    pub fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.snapshot.fetched).as_secs()
    }

    /// Seconds for which the state is still fresh; negative once it is stale (`ttl`; RFC 9211, 2.4).
    pub fn ttl(&self, now: Instant) -> i64 {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        match self.fresh_until.checked_duration_since(now) {
            Some(left) => seconds(left),
            None => -seconds(now.saturating_duration_since(self.fresh_until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderValue, StatusCode};

    const RETENTION: Retention = Retention {
        terminal_ttl: Duration::from_secs(3600),
        not_found_ttl: Duration::from_secs(2),
        stale_for: Duration::from_secs(600),
    };

    fn plan() -> Option<Plan> {
        let (wait, fresh_for) = (Duration::from_secs(9), Duration::from_secs(2));
        Some(Plan { wait, fresh_for, track: None })
    }

    fn state(phase: Phase, lifetime: Option<u64>) -> Arc<State> {
        let now = Instant::now();
        let json = HeaderValue::from_static("application/json");
        let mut snapshot = Snapshot::new(StatusCode::OK, json, Bytes::from_static(b"{}"), now, phase);
        snapshot.result_lifetime = lifetime.map(Duration::from_secs);
        State::new(snapshot, now, Aliases::default(), &RETENTION, plan())
    }

    fn live(retry_after: u64) -> Arc<State> {
        let mut snapshot = state(Phase::Live, None).snapshot.clone();
        snapshot.retry_after = Some(Duration::from_secs(retry_after));
        State::new(snapshot, Instant::now(), Aliases::default(), &RETENTION, plan())
    }

    fn spans(state: &State) -> (u64, u64) {
        let from = state.snapshot.fetched;
        ((state.fresh_until - from).as_secs(), (state.usable_until - from).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_follow_the_phase() {
        // A state may stand in until long after the next look was due.
        assert_eq!(spans(&state(Phase::Live, None)), (2, 609));
        let due = |state: &State| (state.due - state.snapshot.fetched).as_secs();
        assert_eq!([1, 30, 3600].map(|wait| due(&live(wait))), [9, 30, 60]);
        assert_eq!([1, 30, 3600].map(|wait| spans(&live(wait)).0), [2, 30, 60]);
        assert_eq!(spans(&state(Phase::Terminal, None)), (3600, 4200));
        assert_eq!(spans(&state(Phase::Missing, None)), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_url_shortens_a_terminal_state_and_never_lengthens_it() {
        assert_eq!(spans(&state(Phase::Terminal, Some(60))), (60, 660));
        assert_eq!(spans(&state(Phase::Terminal, Some(86_400))), (3600, 4200));
    }

    #[tokio::test(start_paused = true)]
    async fn age_and_ttl_are_whole_seconds_and_ttl_turns_negative() {
        let state = state(Phase::Live, None);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!((state.age(Instant::now()), state.ttl(Instant::now())), (1, 0));
        tokio::time::advance(Duration::from_millis(12_500)).await;
        assert_eq!((state.age(Instant::now()), state.ttl(Instant::now())), (14, -12));
    }
}
