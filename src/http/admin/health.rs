//! Owns the dashboard's health: one headline for the most serious fault, and one sentence with its cure.

use std::borrow::Cow;

use serde::Serialize;
use tokio::time::{Duration, Instant};

use crate::core::budget::{Position, Reading};
use crate::core::failure::Failure;
use crate::core::refresh::FailedRequest;

/// The failures within [`LATELY`] from which on the headline mentions them.
const WORTH_A_WORD: usize = 2;
const LATELY: Duration = Duration::from_secs(60);

/// The figures by which the health is judged.
pub(super) struct View<'a> {
    pub(super) is_stopping: bool,
    pub(super) budget: &'a Reading,
    /// Why the upstream's answers cannot be used.
    pub(super) unusable: Option<String>,
    /// Why this replica is alone.
    pub(super) alone: Option<String>,
    /// The time for which due tasks wait for their refresh.
    pub(super) lag: Duration,
    pub(super) patience: Duration,
    pub(super) failures: &'a [FailedRequest],
    pub(super) tasks: usize,
}

/// The health. Its texts have no figures, so that screen readers do not read them out again each second.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Health {
    level: Level,
    headline: &'static str,
    advice: Cow<'static, str>,
    /// Seconds since the gate closed.
    since_s: Option<u64>,
    /// Seconds until the next attempt.
    until_s: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Level {
    Well,
    Worry,
    Bad,
}

impl Health {
    pub(super) fn of(view: &View<'_>, now: Instant) -> Self {
        use Level::{Bad, Well, Worry};
        let say = |level, headline, advice: &'static str| {
            let advice = Cow::Borrowed(advice);
            Self { level, headline, advice, since_s: None, until_s: None }
        };
        if view.is_stopping {
            return say(
                Worry,
                "Shutting down",
                "Requests already read are answered; streams are told to reconnect.",
            );
        }
        let budget = view.budget;
        let (because, until) = match budget.gate {
            Position::Open => {
                let failed = view.failures.iter().filter(|failure| now - failure.at <= LATELY).count();
                return if let Some(reason) = &view.unusable {
                    let advice = format!("{reason}. Known states are still served.");
                    Self { advice: advice.into(), ..say(Bad, "The upstream's answers cannot be used", "") }
                } else if let Some(reason) = &view.alone {
                    let advice = format!("{reason}. It shares again by itself as soon as Redis answers.");
                    Self { advice: advice.into(), ..say(Worry, "This replica is alone", "") }
                } else if view.lag > view.patience {
                    say(
                        Worry,
                        "More is watched than the key can refresh",
                        "Clients take equal turns, and their tasks \
                        wait. A higher budget.share, or a key with a higher limit, shortens that.",
                    )
                } else if failed >= WORTH_A_WORD {
                    say(
                        Worry,
                        "Some upstream requests fail",
                        "The gateway tries them again by itself, and \
                        serves known states meanwhile. See the errors below.",
                    )
                } else if budget.is_slowed_by_quota {
                    say(
                        Well,
                        "All well, but slowed down",
                        "The upstream says that less of the key's limit is left than the settings suppose: other \
                        programs use the key too, or budget.requests_per_minute is more than its limit.",
                    )
                } else if budget.is_slowed_by_429s {
                    say(
                        Well,
                        "All well, but slowed down",
                        "The upstream has sent a 429. Each minute without one \
                        restores 5 % of the rate. If it happens again, another program uses the key.",
                    )
                } else if view.tasks == 0 {
                    say(Well, "All well", "No client asks about a running task at the moment.")
                } else {
                    say(Well, "All well", "Every watched task is kept fresh.")
                };
            }
            Position::Closed { because, until } => (because, Some(until)),
            Position::Probing { because } => (because, None),
        };
        let (level, headline, advice) = match because {
            Failure::KeyRejected => (
                Bad,
                "The key is rejected",
                "Put a valid key into LEMONDATA_API_KEY and restart, \
                or into the key file, which is read again by itself. Known states are still served.",
            ),
            Failure::QuotaExhausted => (
                Bad,
                "The account has no balance left",
                "Top it up at the upstream. The gateway then goes \
                on by itself. Known states are still served.",
            ),
            Failure::RateLimited { .. } => (
                Worry,
                "The upstream asks for a pause",
                "It has sent a 429. Known states are \
                served, and requests resume by themselves, more slowly.",
            ),
            Failure::ServerError { .. }
            | Failure::Unreachable
            | Failure::TimedOut
            | Failure::InvalidResponse { .. }
            | Failure::Refused { .. } => (
                Bad,
                "The upstream is down",
                "Known states are served. The gateway tries once a second, and goes on as \
                    soon as the upstream answers.",
            ),
        };
        Self {
            since_s: budget.closed_since.map(|since| now.saturating_duration_since(since).as_secs()),
            until_s: until.map(|until| until.saturating_duration_since(now).as_secs()),
            ..say(level, headline, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::budget::Rate;

    fn reading(gate: Position, now: Instant) -> Reading {
        Reading {
            rate: Rate { per_minute: 800.0, burst: 20 },
            tokens: 20,
            effective_per_minute: 800.0,
            gate,
            closed_since: Some(now - Duration::from_secs(40)),
            quota: None,
            is_slowed_by_quota: false,
            is_slowed_by_429s: false,
            in_flight: 0,
            sent: 0,
            sent_a_second: Vec::new(),
        }
    }

    fn view(budget: &Reading) -> View<'_> {
        let patience = Duration::from_secs(5);
        View {
            is_stopping: false,
            budget,
            unusable: None,
            alone: None,
            lag: Duration::ZERO,
            patience,
            failures: &[],
            tasks: 1,
        }
    }

    #[test]
    fn a_closed_gate_is_told_with_its_cure() {
        let now = Instant::now() + Duration::from_secs(100);
        let until = now + Duration::from_secs(12);
        for (because, level, says, cure) in [
            (Failure::KeyRejected, Level::Bad, "key is rejected", "LEMONDATA_API_KEY"),
            (Failure::QuotaExhausted, Level::Bad, "no balance", "Top it up"),
            (Failure::RateLimited { retry_after: None }, Level::Worry, "pause", "more slowly"),
            (Failure::Unreachable, Level::Bad, "is down", "Known states are served"),
        ] {
            for gate in [Position::Closed { until, because }, Position::Probing { because }] {
                let health = Health::of(&view(&reading(gate, now)), now);
                assert_eq!((health.level, health.since_s), (level, Some(40)));
                assert!(health.headline.contains(says) && health.advice.contains(cure), "{health:?}");
                assert_eq!(health.until_s, matches!(gate, Position::Closed { .. }).then_some(12));
            }
        }
    }

    #[test]
    fn an_open_gate_is_well_unless_something_else_is_not() {
        let now = Instant::now();
        let mut budget = reading(Position::Open, now + Duration::from_secs(100));
        assert_eq!(Health::of(&view(&budget), now).headline, "All well");
        let busy = View { lag: Duration::from_secs(9), ..view(&budget) };
        assert_eq!(Health::of(&busy, now).level, Level::Worry);
        let stopping = View { is_stopping: true, ..view(&budget) };
        assert_eq!(Health::of(&stopping, now).headline, "Shutting down");
        let odd = View { unusable: Some("the upstream redirects".to_owned()), ..view(&budget) };
        assert_eq!(Health::of(&odd, now).advice, "the upstream redirects. Known states are still served.");
        let alone = View { alone: Some("Redis is gone".to_owned()), ..view(&budget) };
        assert_eq!(Health::of(&alone, now).headline, "This replica is alone");
        // What the upstream says is left may be a little less than the settings suppose: nobody has to know.
        budget.effective_per_minute = 799.0;
        assert_eq!(Health::of(&view(&budget), now).headline, "All well");
        budget.is_slowed_by_429s = true;
        let slow = Health::of(&view(&budget), now);
        assert!(slow.headline.contains("slowed down") && slow.advice.contains("429"));
    }
}
