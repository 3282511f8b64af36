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
use crate::core::shared::{self, Clearance, GateNews};
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::core::task::TaskKey;

impl Coordinator {
    /// Cancels a task.
    pub(in crate::core) async fn cancel(self: &Arc<Self>, grant: &CancelGrant) -> OneOffResult<Reply> {
        let key = grant.key().clone();
        let carry = |sent: Sent<Reply>| async move {
            let Sent { coordinator, permit, clearance, answer, departed: _ } = sent;
            let pass = permit.pass();
            let land = |result| {
                coordinator.cancelled(&key, pass, clearance, &result);
                // The client may have disconnected.
                let _ = answer.send(result.map(|reply: Reply<OwnAnswer>| reply.map(|own| own.snapshot)));
            };
            let landing = Landing::new(&coordinator, &key, land);
            landing
                .of(async {
                    let asking = coordinator.ask_to_cancel(&key, permit);
                    let reply = coordinator.holding(None, clearance, asking).await?;
                    Ok(coordinator.tell_cancelled(&key, clearance, reply).await)
                })
                .await;
        };
        self.once(Kind::Cancel, grant.client(), carry).await
    }

    /// Tells the other replicas that a task has ended or changed.
    async fn tell_cancelled(
        &self,
        key: &TaskKey,
        clearance: Option<Clearance>,
        reply: Reply<OwnAnswer>,
    ) -> Reply<OwnAnswer> {
        let (Some(tier), Some(clearance)) = (self.budget.tier(), clearance) else { return reply };
        match reply {
            Reply::Answer(mut own) if own.snapshot.phase == Phase::Terminal => {
                own.snapshot.sequence = clearance.sequence;
                let (first_seen, aliases) = self.store.held(key).history(own.snapshot.fetched);
                let retention = &self.policy.retention;
                let state = State::new(own.snapshot.clone(), first_seen, aliases, retention, None);
                let landing = shared::Landing { clearance, state: Some(&state), gate: GateNews::None };
                // The next flight brings the end to the others where this fails.
                let _ = tier.land(Some(key), landing).await;
                Reply::Answer(own)
            }
            Reply::Answer(own) if !own.snapshot.phase.is_known() => Reply::Answer(own),
            reply => {
                let _ = tier.forget(key).await;
                reply
            }
        }
    }

    fn cancelled(
        self: &Arc<Self>,
        key: &TaskKey,
        pass: Pass,
        clearance: Option<Clearance>,
        result: &Result<Reply<OwnAnswer>, Failure>,
    ) {
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
        let is_probe = clearance.is_some_and(|clearance| clearance.is_probe);
        let failure = result.as_ref().err().copied();
        self.tell_gate(clearance, self.budget.gate_news(is_probe, key, failure, change, now));
        self.budget.report(change, now);
    }
}
