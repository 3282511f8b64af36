//! Owns the clearance of permits by the shared tier, and what this process does without its answer: it goes on alone,
//! with its part of the budget.

use tokio::time::Instant;

use super::bucket::Rate;
use super::gate::Change;
use super::{Ledger, Permit, Right};
use crate::core::shared::{Alone, Begun, Clearance, SharedState, Terms};
use crate::core::task::TaskKey;

/// The result of [`Permit::clear`].
#[derive(Debug)]
pub enum Cleared {
    /// The request may be sent. `None`: the tier did not answer, and this replica's own part has paid.
    Go(Option<Clearance>),
    /// Another replica has brought a newer state. The permit may be cleared again.
    Newer(SharedState),
    /// Another replica's flight is under way. The permit may be cleared again.
    Leased(Instant),
    /// The gate has closed meanwhile, and the permit was given back. The clearance, if there is one, is left to give up.
    Overtaken(Option<Clearance>),
    /// The permit was given back: no request goes before then.
    Later(Instant, Change),
}

impl Permit {
    /// Asks the shared tier whether the request may be sent. Cancel safe: a permit that was not cleared is given back.
    pub(in crate::core) async fn clear(&mut self, key: Option<&TaskKey>, terms: Terms) -> Cleared {
        let Some(tier) = self.budget.tier.clone() else { return Cleared::Go(None) };
        let begun = tier.begin(key, terms).await;
        let now = Instant::now();
        let budget = self.budget.clone();
        let mut ledger = budget.ledger();
        if !ledger.gate.is_current(self.pass) && matches!(begun, Ok(Begun::Go(_)) | Err(Alone)) {
            self.give_back(&mut ledger, now);
            return Cleared::Overtaken(begun.ok().and_then(|begun| match begun {
                Begun::Go(clearance) => Some(clearance),
                _ => None,
            }));
        }
        match begun {
            Ok(Begun::Go(clearance)) => {
                self.right = Right::Paid;
                ledger.note_sent(now);
                // What the tier has paid is not left for a time without it.
                ledger.part.take(now);
                Cleared::Go(Some(clearance))
            }
            Ok(Begun::Newer(state)) => Cleared::Newer(state),
            Ok(Begun::Leased(until)) => Cleared::Leased(until),
            Ok(Begun::NotBefore(until)) => {
                self.give_back(&mut ledger, now);
                ledger.bucket.wait_until(until);
                Cleared::Later(until, Change::None)
            }
            Ok(Begun::Closed { until, because }) => {
                self.give_back(&mut ledger, now);
                let change = ledger.gate.closed_elsewhere(until, because);
                ledger.heed_gate(change, now);
                Cleared::Later(until, change)
            }
            Err(Alone) => {
                ledger.divide_part(tier.replicas(), now);
                if ledger.part.take(now) {
                    self.right = Right::Paid;
                    ledger.note_sent(now);
                    return Cleared::Go(None);
                }
                let until = ledger.part.ready_at(now, 0);
                self.give_back(&mut ledger, now);
                ledger.bucket.wait_until(until);
                Cleared::Later(until, Change::None)
            }
        }
    }

    /// The permit of a second request of a flight, if the shared tier has a token at once.
    pub(super) async fn cleared_as_second(mut self) -> Option<Self> {
        let terms = Terms { owner: fastrand::u64(..), known: 0, weight: 1, lease: None };
        match self.clear(None, terms).await {
            Cleared::Go(_) => Some(self),
            Cleared::Newer(_) | Cleared::Leased(_) | Cleared::Overtaken(_) | Cleared::Later(..) => None,
        }
    }
}

impl Ledger {
    /// Sets the part to that of one among so many replicas.
    fn divide_part(&mut self, replicas: u32, now: Instant) {
        let Rate { per_minute, burst } = self.bucket.rate();
        let replicas = replicas.max(1);
        let part = Rate { per_minute: per_minute / f64::from(replicas), burst: (burst / replicas).max(1) };
        let known = self.part.rate();
        if known.per_minute != part.per_minute || known.burst != part.burst {
            self.part.set_rate(part, now);
        }
    }
}
