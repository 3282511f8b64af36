//! Owns what the upstream once said: one immutable answer, and how long it stands.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::time::{Duration, Instant};

use super::hex;
use super::pacing::Pacing;

/// What an answer says about its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Under way, or in a state nobody declared terminal.
    Live,
    /// In a terminal status: it will not change again.
    Terminal,
    /// A 4xx: gone, not yet there, or not to be seen.
    Missing,
}

/// One answer of the upstream, complete and judged. Shared by `Arc`; a hit copies no body.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The upstream's status code.
    pub status: StatusCode,
    /// The one header kept of the upstream's.
    pub content_type: HeaderValue,
    /// The upstream's bytes.
    pub body: Bytes,
    /// A strong entity tag of the bytes (RFC 9110, 8.8.3), quotes included.
    pub etag: HeaderValue,
    /// When the last byte had arrived.
    pub fetched: Instant,
    /// What it says about the task.
    pub phase: Phase,
    /// The word it has for the task's status, where it has one; cut to a length that a line can hold.
    pub word: Option<Box<str>>,
    /// How long the result's URL still works, counted from `fetched`; zero where it is dead already.
    pub result_lifetime: Option<Duration>,
    /// The same as a server-sent event, made by whoever needs it first and shared by all who watch. Boxed: most
    /// states are never watched.
    event: OnceLock<Box<Bytes>>,
}

impl Snapshot {
    /// Its form as an event; `render` is asked once.
    pub fn event(&self, render: impl FnOnce(&Self) -> Bytes) -> Bytes {
        Bytes::clone(self.event.get_or_init(|| Box::new(render(self))))
    }

    /// Takes an answer that has been judged, and tags it.
    pub fn new(
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
        fetched: Instant,
        phase: Phase,
    ) -> Self {
        let etag = entity_tag(&body);
        Self {
            status,
            content_type,
            body,
            etag,
            fetched,
            phase,
            word: None,
            result_lifetime: None,
            event: OnceLock::new(),
        }
    }
}

/// 128 bits of SHA-256 in hex: equal tags mean equal bytes, on every replica and after a restart.
fn entity_tag(body: &[u8]) -> HeaderValue {
    let mut tag = [b'"'; 34];
    hex::write(Sha256::digest(body), &mut tag[1..33]);
    HeaderValue::from_bytes(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// How long states are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// A terminal state, at most.
    pub terminal_ttl: Duration,
    /// A missing state.
    pub not_found_ttl: Duration,
    /// How long a state past its time may still stand in when the upstream cannot answer.
    pub stale_for: Duration,
}

/// A snapshot and its deadlines: what is known of a task.
#[derive(Debug)]
pub struct State {
    /// The answer itself.
    pub snapshot: Snapshot,
    /// When this gateway first heard of the task.
    pub first_seen: Instant,
    /// Until when it is handed out without asking again.
    pub fresh_until: Instant,
    /// Until when it may stand in for an answer that cannot be had.
    pub usable_until: Instant,
    /// Whether somebody was given it.
    handed_out: AtomicBool,
}

impl State {
    /// Sets the deadlines of a new answer.
    pub fn new(snapshot: Snapshot, first_seen: Instant, retention: &Retention, pacing: &Pacing) -> Arc<Self> {
        let age = snapshot.fetched.saturating_duration_since(first_seen);
        let (fresh_for, stale_for) = match snapshot.phase {
            Phase::Live => (pacing.interval(age), retention.stale_for),
            Phase::Terminal => {
                let lifetime = match snapshot.result_lifetime {
                    None => retention.terminal_ttl,
                    Some(Duration::ZERO) => pacing.fresh_for,
                    Some(lifetime) => lifetime.min(retention.terminal_ttl),
                };
                (lifetime, retention.stale_for)
            }
            Phase::Missing => (retention.not_found_ttl, Duration::ZERO),
        };
        let fresh_until = later(snapshot.fetched, fresh_for);
        let usable_until = later(fresh_until, stale_for);
        Arc::new(Self { snapshot, first_seen, fresh_until, usable_until, handed_out: AtomicBool::new(false) })
    }

    /// Notes that it is handed out: true the first time. That one is what the upstream was asked for; all
    /// others are spared a request.
    pub fn hand_out(&self) -> bool {
        !self.handed_out.load(Ordering::Relaxed) && !self.handed_out.swap(true, Ordering::Relaxed)
    }

    /// Whether it can be handed out without asking again.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }

    /// Whether it may stand in for an answer that cannot be had.
    pub fn is_usable(&self, now: Instant) -> bool {
        now < self.usable_until
    }

    /// Whether it is terminal and not expired: nothing else may take its place.
    pub fn absorbs(&self, now: Instant) -> bool {
        self.snapshot.phase == Phase::Terminal && self.is_fresh(now)
    }

    /// Whole seconds since it was fetched (RFC 9111, 5.1).
    pub fn age(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.snapshot.fetched).as_secs()
    }

    /// Seconds for which it is still fresh; negative once it is not (RFC 9211, 2.5).
    pub fn ttl(&self, now: Instant) -> i64 {
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        match self.fresh_until.checked_duration_since(now) {
            Some(left) => seconds(left),
            None => -seconds(now.saturating_duration_since(self.fresh_until)),
        }
    }
}

/// `start + span`, or a far future where a setting is absurdly long.
pub(in crate::core) fn later(start: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365);
    start + span.min(FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Retention = Retention {
        terminal_ttl: Duration::from_secs(3600),
        not_found_ttl: Duration::from_secs(2),
        stale_for: Duration::from_secs(600),
    };
    const PACING: Pacing = Pacing { fresh_for: Duration::from_secs(2), max_interval: Duration::from_secs(5) };

    fn state(phase: Phase, lifetime: Option<u64>) -> Arc<State> {
        let now = Instant::now();
        let json = HeaderValue::from_static("application/json");
        let mut snapshot = Snapshot::new(StatusCode::OK, json, Bytes::from_static(b"{}"), now, phase);
        snapshot.result_lifetime = lifetime.map(Duration::from_secs);
        State::new(snapshot, now, &RETENTION, &PACING)
    }

    fn spans(state: &State) -> (u64, u64) {
        let from = state.snapshot.fetched;
        ((state.fresh_until - from).as_secs(), (state.usable_until - from).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_follow_the_phase() {
        assert_eq!(spans(&state(Phase::Live, None)), (2, 602));
        assert_eq!(spans(&state(Phase::Terminal, None)), (3600, 4200));
        assert_eq!(spans(&state(Phase::Missing, None)), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_url_shortens_a_terminal_state_and_never_lengthens_it() {
        assert_eq!(spans(&state(Phase::Terminal, Some(60))), (60, 660));
        assert_eq!(spans(&state(Phase::Terminal, Some(86_400))), (3600, 4200));
        assert_eq!(spans(&state(Phase::Terminal, Some(0))), (2, 602));
    }

    #[tokio::test(start_paused = true)]
    async fn age_and_ttl_are_whole_seconds_and_ttl_turns_negative() {
        let state = state(Phase::Live, None);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!((state.age(Instant::now()), state.ttl(Instant::now())), (1, 0));
        tokio::time::advance(Duration::from_millis(12_500)).await;
        assert_eq!((state.age(Instant::now()), state.ttl(Instant::now())), (14, -12));
    }

    #[test]
    fn the_tag_is_of_the_bytes() {
        assert_eq!(entity_tag(b""), "\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_ne!(entity_tag(b"{\"a\":1}"), entity_tag(b"{\"a\": 1}"));
    }
}
