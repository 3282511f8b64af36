//! Owns cancellations: each is sent upstream once, ahead of the flights, and none is coalesced or retried.
//!
//! The coordinator sends a queued cancellation, never the client's own future. So a permit is always settled,
//! and a request that was sent is completed even if the client disconnects. All cancellations together take
//! turns as one more client would, so that they cannot starve the clients that read.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::book::{Book, QueuedCancel};
use super::coordinator::{Coordinator, Forecast};
use super::landing::Landing;
use super::ownership::OwnAnswer;
use crate::core::answer::Reason;
use crate::core::budget::{Change, Pass, Permit, Position};
use crate::core::cause::Cause;
use crate::core::failure::{Failure, Scope};
use crate::core::grant::CancelGrant;
use crate::core::ports::Reply;
use crate::core::snapshot::Phase;
use crate::core::task::TaskKey;

/// The largest number of cancellations that wait for a permit …
const MOST_WAITING: usize = 64;
/// … and the largest number of one client, which so cannot keep others from cancelling.
const MOST_OF_ONE: usize = 2;

/// The result of a cancellation.
pub(in crate::core) enum Cancellation {
    /// The request was sent; this is the answer or the failure.
    Answered(Result<Reply, Failure>),
    /// The request was not sent; the forecast has the reason, and the time at which it could be sent.
    Unsent(Forecast),
}

impl Coordinator {
    /// Cancels a task. Waits at most `patience` until the request is sent, and then until it lands.
    pub(in crate::core) async fn cancel(self: &Arc<Self>, grant: &CancelGrant) -> Cancellation {
        let unsent = |start, reason| Cancellation::Unsent(Forecast { start, reason });
        let (sent, mut waiting) = oneshot::channel();
        {
            let now = Instant::now();
            let mut book = self.book();
            book.cancels.retain(|queued| !queued.sent.is_closed());
            let of_one = book.cancels.iter().filter(|queued| queued.client == *grant.client()).count();
            if of_one >= MOST_OF_ONE || book.cancels.len() >= MOST_WAITING {
                return unsent(now + self.policy.patience, Reason::Overloaded);
            }
            let (key, client) = (grant.key().clone(), grant.client().clone());
            book.cancels.push_back(QueuedCancel { key, client, sent, cause: Cause::current() });
            self.dispatch_beside(&mut book, now);
        }
        let answer = if let Ok(answer) = timeout(self.policy.patience, &mut waiting).await {
            answer.ok()
        } else {
            waiting.close();
            // The request may have been sent in the moment in which patience ended.
            waiting.try_recv().ok()
        };
        if let Some(answer) = answer {
            // The sender is dropped only with the whole coordinator.
            return Cancellation::Answered(answer.await.unwrap_or(Err(Failure::Unreachable)));
        }
        let estimate = self.budget.estimate(Instant::now(), 0);
        unsent(estimate.at, estimate.because.map_or(Reason::Budget, Reason::Upstream))
    }

    /// Sends the first cancellation if it has its turn and a permit is free. Returns whether it was sent.
    pub(super) fn send_cancel(self: &Arc<Self>, book: &mut Book, now: Instant) -> bool {
        while book.cancels.front().is_some_and(|queued| queued.sent.is_closed()) {
            book.cancels.pop_front();
        }
        if book.cancels.is_empty() {
            return false;
        }
        let clients = book.schedule.clients_due(now);
        // A flight, where one is due, is the better probe of a closed gate: the result of a cancellation
        // tells less.
        let has_turn =
            book.flights_since_cancel >= clients && (clients == 0 || self.budget.gate() == Position::Open);
        if !has_turn {
            return false;
        }
        let Some(permit) = self.budget.acquire(now) else { return false };
        let Some(queued) = book.cancels.pop_front() else { return false };
        book.flights_since_cancel = 0;
        let (landing, answer) = oneshot::channel();
        // A client that disconnects in this moment has asked for the cancellation all the same.
        let _ = queued.sent.send(answer);
        self.carry_out(queued.key, permit, landing, queued.cause);
        true
    }

    fn carry_out(
        self: &Arc<Self>,
        key: TaskKey,
        permit: Permit,
        answer: oneshot::Sender<Result<Reply, Failure>>,
        cause: Cause,
    ) {
        let pass = permit.pass();
        let coordinator = Arc::clone(self);
        let cancellation = async move {
            let land = |result| {
                coordinator.cancelled(&key, pass, &result);
                // The client may have disconnected.
                let _ = answer.send(result.map(|reply| reply.map(|own| own.snapshot)));
            };
            let landing = Landing::new(&coordinator, &key, land);
            landing.of(coordinator.ask_to_cancel(&key, permit)).await;
        };
        self.lifecycle.spawn_background(cause.during(cancellation));
    }

    fn cancelled(self: &Arc<Self>, key: &TaskKey, pass: Pass, result: &Result<Reply<OwnAnswer>, Failure>) {
        let now = Instant::now();
        let mut book = self.book();
        let failure = result.as_ref().err().copied();
        // An upstream that fails to cancel may still answer reads. So only a failure of the account reaches
        // the gate, and the result of a probe, which must be settled.
        let tells = pass.is_probe() || failure.is_none_or(|failure| failure.scope() == Scope::Account);
        let change = if tells { self.budget.settle(now, pass, key, failure) } else { Change::None };
        self.heed(&mut book, change, now);
        match result {
            Ok(Reply::Answer(own)) if own.snapshot.phase == Phase::Terminal => {
                let held = self.store.held(key);
                let state = self.state(&mut book, key, &held, own.clone());
                book.end(&self.store, key, &state, held);
            }
            Ok(Reply::Answer(own)) if !own.snapshot.phase.is_known() => {}
            // The task has changed, or a finished one is deleted: only the upstream knows.
            Ok(_) => book.forget(&self.store, key, now),
            Err(_) => {}
        }
        self.dispatch_beside(&mut book, now);
        drop(book);
        self.budget.report(change, now);
    }
}
