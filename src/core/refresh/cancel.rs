//! Owns cancellations: a request that was sent is completed even if the client disconnects.

use std::sync::Arc;

use tokio::time::Instant;

use super::coordinator::Coordinator;
use super::landing::Landing;
use super::one_off::{OneOffResult, Sent};
use super::one_offs::Kind;
use super::ownership::OwnAnswer;
use crate::core::budget::Pass;
use crate::core::failure::Failure;
use crate::core::grant::CancelGrant;
use crate::core::ports::Reply;
use crate::core::snapshot::Phase;
use crate::core::task::TaskKey;

impl Coordinator {
    /// Cancels a task.
    pub(in crate::core) async fn cancel(self: &Arc<Self>, grant: &CancelGrant) -> OneOffResult<Reply> {
        let key = grant.key().clone();
        let carry = |sent: Sent<Reply>| async move {
            let Sent { coordinator, permit, answer, departed: _ } = sent;
            let pass = permit.pass();
            let land = |result| {
                coordinator.cancelled(&key, pass, &result);
                // The client may have disconnected.
                let _ = answer.send(result.map(|reply: Reply<OwnAnswer>| reply.map(|own| own.snapshot)));
            };
            let landing = Landing::new(&coordinator, &key, land);
            landing.of(coordinator.ask_to_cancel(&key, permit)).await;
        };
        self.once(Kind::Cancel, grant.client(), carry).await
    }

    fn cancelled(self: &Arc<Self>, key: &TaskKey, pass: Pass, result: &Result<Reply<OwnAnswer>, Failure>) {
        let now = Instant::now();
        let mut book = self.book();
        let change = self.settle_one_off(&mut book, key, pass, result.as_ref().err().copied());
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
