//! Owns cancellations: each goes upstream once, ahead of the flights, and none is coalesced or tried again.
//!
//! A queued is carried out by the coordinator, never by the client's own future: a permit is always settled, and what
//! was sent is seen through whoever leaves. All wishes together take turns as one more client would, so that
//! nobody's cancelling starves those who read (invariants 10 and 11).

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

/// How many may wait for a permit at once …
const MOST_WAITING: usize = 64;
/// … and how many of those may be one client's: it cannot keep others from cancelling.
const MOST_OF_ONE: usize = 2;

/// What becomes of a cancellation.
pub(in crate::core) enum Cancellation {
    /// It was sent, and this came back.
    Answered(Result<Reply, Failure>),
    /// It was not sent.
    Unsent(Forecast),
}

impl Coordinator {
    /// Cancels a task. Waits at most `patience` to be sent, then as long as it takes.
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
            // Sent in the very moment in which patience ended.
            waiting.try_recv().ok()
        };
        if let Some(answer) = answer {
            // The answer's other end is dropped only with the whole coordinator.
            return Cancellation::Answered(answer.await.unwrap_or(Err(Failure::Unreachable)));
        }
        let estimate = self.budget.estimate(Instant::now(), 0);
        unsent(estimate.at, estimate.because.map_or(Reason::Budget, Reason::Upstream))
    }

    /// Sends a cancellation, if one waits, has its turn and can be paid for.
    pub(super) fn send_cancel(self: &Arc<Self>, book: &mut Book, now: Instant) -> bool {
        while book.cancels.front().is_some_and(|queued| queued.sent.is_closed()) {
            book.cancels.pop_front();
        }
        if book.cancels.is_empty() {
            return false;
        }
        let clients = book.schedule.clients_due(now);
        // A closed gate is tried by a flight, where there is one: what becomes of a cancellation tells less.
        let has_turn =
            book.flights_since_cancel >= clients && (clients == 0 || self.budget.gate() == Position::Open);
        if !has_turn {
            return false;
        }
        let Some(permit) = self.budget.acquire(now) else { return false };
        let Some(queued) = book.cancels.pop_front() else { return false };
        book.flights_since_cancel = 0;
        let (landing, answer) = oneshot::channel();
        // Whoever left within this very moment has wished it all the same.
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
                // The client may have left.
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
        // An upstream that fails to cancel may still answer who reads. Only the account's word is for all; and a
        // probe has to be settled.
        let tells = pass.is_probe() || failure.is_none_or(|failure| failure.scope() == Scope::Account);
        let change = if tells { self.budget.settle(now, pass, key, failure) } else { Change::None };
        self.heed(&mut book, change, now);
        match result {
            Ok(Reply::Answer(own)) if own.snapshot.phase == Phase::Terminal => {
                let held = self.store.held(key);
                let state = self.state(&held, own.clone());
                book.end(&self.store, key, &state, held);
            }
            Ok(Reply::Answer(own)) if own.snapshot.phase == Phase::Missing => {}
            // Something has changed, and only the upstream knows what; unless the task was over before.
            Ok(_) if self.store.absorbing(key, now).is_none() => book.forget(&self.store, key, now),
            Ok(_) | Err(_) => {}
        }
        self.dispatch_beside(&mut book, now);
        drop(book);
        self.budget.report(change, now);
    }
}
