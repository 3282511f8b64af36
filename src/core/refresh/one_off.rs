//! Owns the sending of requests that are no flights: cancellations, and openings of contents. Each is sent upstream once,
//! ahead of the flights, and none is coalesced or retried.
//!
//! The coordinator sends a queued request, never the client's own future. So a permit is always settled, whether or not
//! the client stays. All one-off requests together take turns as one more client would, so that they cannot starve the
//! clients that read.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::book::Book;
use super::coordinator::{Coordinator, Forecast};
use super::one_offs::Kind;
use crate::core::answer::Reason;
use crate::core::budget::{Change, Cleared, Pass, Permit, Position, Readiness};
use crate::core::cause::Cause;
use crate::core::failure::{Failure, Scope};
use crate::core::grant::Client;
use crate::core::shared::{self, Clearance, GateNews, Terms};
use crate::core::task::TaskKey;

/// The result of a one-off request.
pub(in crate::core) enum OneOffResult<T> {
    /// The request was sent; this is the answer or the failure.
    Answered(Result<T, Failure>),
    /// The request was not sent; the forecast has the reason, and the time at which it could be sent.
    Unsent(Forecast),
}

/// A request on its way: its permit, the sender of its answer, and a receiver that completes when its client has left.
pub(super) struct Sent<T> {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) permit: Permit,
    /// What the shared tier has cleared, if there is one.
    pub(super) clearance: Option<Clearance>,
    pub(super) answer: oneshot::Sender<Result<T, Failure>>,
    pub(super) departed: oneshot::Receiver<()>,
}

impl Coordinator {
    /// Sends a request once: waits at most `patience` until it is sent, and then until it lands. `carry` is a task of its
    /// own, with the client's request as its cause.
    pub(super) async fn once<T, F>(
        self: &Arc<Self>,
        kind: Kind,
        client: &Client,
        carry: impl FnOnce(Sent<T>) -> F + Send + 'static,
    ) -> OneOffResult<T>
    where
        T: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (landing, answer) = oneshot::channel();
        // Dropped with this future.
        let (_stays, departed) = oneshot::channel();
        let cause = Cause::current();
        let coordinator = Arc::clone(self);
        let send = Box::new(move |permit| {
            let lifecycle = coordinator.lifecycle.clone();
            let sending = async move {
                match coordinator.admitted(permit).await {
                    Ok((permit, clearance)) => {
                        carry(Sent { coordinator, permit, clearance, answer: landing, departed }).await;
                    }
                    Err(failure) => {
                        let _ = landing.send(Err(failure));
                        // Its permit is free, for which others may wait.
                        coordinator.dispatch_beside(&mut coordinator.book(), Instant::now());
                    }
                }
            };
            lifecycle.spawn_background(cause.during(sending));
        });
        let mut waiting = {
            let now = Instant::now();
            let mut book = self.book();
            let Some(waiting) = book.one_offs.push(kind, client, send) else {
                let start = now + self.policy.patience;
                return OneOffResult::Unsent(Forecast { start, reason: Reason::Overloaded });
            };
            self.dispatch_beside(&mut book, now);
            waiting
        };
        let is_sent = if let Ok(sent) = timeout(self.policy.patience, &mut waiting).await {
            sent.is_ok()
        } else {
            waiting.close();
            // The request may have been sent in the moment in which patience ended.
            waiting.try_recv().is_ok()
        };
        if is_sent {
            // The sender is dropped only with the whole coordinator.
            return OneOffResult::Answered(answer.await.unwrap_or(Err(Failure::Unreachable)));
        }
        let estimate = self.budget.estimate(Instant::now(), 0);
        let reason = estimate.because.map_or(Reason::Budget, Reason::Upstream);
        OneOffResult::Unsent(Forecast { start: estimate.at, reason })
    }

    /// Sends the first one-off request if it has its turn and a permit is free. Returns whether it was sent.
    pub(super) fn send_one_off(self: &Arc<Self>, book: &mut Book, now: Instant) -> bool {
        // A flight, where one is due, is the better probe of a closed gate: the result of another request tells less.
        if !self.one_offs_have_turn(book, now)
            || (book.schedule.has_due(now) && self.budget.gate() != Position::Open)
        {
            return false;
        }
        let Some(permit) = self.budget.acquire(now) else { return false };
        book.one_offs.send_first(permit);
        true
    }

    /// A permit that the shared tier has cleared, where there is one. Waits for a token at most `patience`.
    async fn admitted(&self, mut permit: Permit) -> Result<(Permit, Option<Clearance>), Failure> {
        if self.budget.tier().is_none() {
            return Ok((permit, None));
        }
        let lease = Some(shared::lease(self.policy.timeout));
        let terms = Terms { owner: fastrand::u64(..), known: 0, weight: 1, lease };
        let by = Instant::now() + self.policy.patience;
        loop {
            let (at, change) = match permit.clear(None, terms).await {
                Cleared::Go(clearance) => return Ok((permit, clearance)),
                Cleared::Later(at, change) => (at, change),
                Cleared::Overtaken(clearance) => {
                    self.give_up(None, clearance).await;
                    (Instant::now(), Change::None)
                }
                // Only a flight is answered so.
                Cleared::Newer(_) | Cleared::Leased(_) => return Err(Failure::Unreachable),
            };
            let now = Instant::now();
            self.budget.report(change, now);
            if at > by {
                return Err(self.later_because(at, now));
            }
            sleep_until(at).await;
            drop(permit);
            permit = loop {
                let now = Instant::now();
                if let Some(permit) = self.budget.acquire(now) {
                    break permit;
                }
                let soon = now + Duration::from_millis(50);
                let at = match self.budget.readiness(now) {
                    Readiness::Now | Readiness::Busy => soon,
                    Readiness::At(at) => at,
                };
                if at > by {
                    return Err(self.later_because(at, now));
                }
                sleep_until(at).await;
            };
        }
    }

    /// Why a request that is no flight cannot be sent before then.
    fn later_because(&self, at: Instant, now: Instant) -> Failure {
        match self.budget.gate() {
            Position::Open => Failure::RateLimited { retry_after: Some(at - now) },
            Position::Closed { because, .. } | Position::Probing { because } => because,
        }
    }

    /// Tells the other replicas what the result of a one-off request means to the gate.
    pub(super) fn tell_gate(&self, clearance: Option<Clearance>, gate: GateNews) {
        let (Some(tier), Some(clearance)) = (self.budget.tier(), clearance) else { return };
        if gate == GateNews::None {
            return;
        }
        let tier = Arc::clone(tier);
        self.lifecycle.spawn_background(async move {
            let _ = tier.land(None, shared::Landing { clearance, state: None, gate }).await;
        });
    }

    /// Settles the pass of a one-off request. An upstream that fails in one may still answer reads, so only a failure of
    /// the account reaches the gate, and the result of a probe, which must be settled.
    pub(super) fn settle_one_off(
        &self,
        book: &mut Book,
        key: &TaskKey,
        pass: Pass,
        failure: Option<Failure>,
    ) -> Change {
        let now = Instant::now();
        let tells = pass.is_probe() || failure.is_none_or(|failure| failure.scope() == Scope::Account);
        let change = if tells { self.budget.settle(now, pass, key, failure) } else { Change::None };
        self.heed(book, change, now);
        change
    }
}
