//! Owns the openings of contents: the request ends when its client leaves, unless it is the probe of a closed gate.

use std::sync::Arc;

use tokio::time::Instant;

use super::coordinator::Coordinator;
use super::landing::Landing;
use super::one_off::{OneOffResult, Sent};
use super::one_offs::Kind;
use crate::core::budget::{Budget, Change, Pass};
use crate::core::content::{ContentRequest, Opened};
use crate::core::failure::Failure;
use crate::core::grant::Grant;
use crate::core::shared::{Clearance, GateNews};
use crate::core::task::TaskKey;

impl Coordinator {
    /// Opens a content. Its head comes within `timeout`, its bytes as long as the client reads them.
    pub(in crate::core) async fn open(
        self: &Arc<Self>,
        grant: &Grant,
        request: ContentRequest,
    ) -> OneOffResult<Opened> {
        let key = grant.key().clone();
        let carry = |sent: Sent<Opened>| async move {
            let Sent { coordinator, permit, clearance, answer, departed } = sent;
            let pass = permit.pass();
            let is_probe = pass.is_probe() || clearance.is_some_and(|clearance| clearance.is_probe);
            let land = |result: Result<Option<Opened>, Failure>| {
                coordinator.opened(&key, pass, clearance, &result);
                if let Some(result) = result.transpose() {
                    let _ = answer.send(result);
                }
            };
            let landing = Landing::new(&coordinator, &key, land);
            let opening = coordinator.source.open(&key, &request, permit);
            landing
                .of(coordinator.holding(None, clearance, async move {
                    tokio::select! {
                        opened = opening => opened.map(Some),
                        _ = departed, if !is_probe => Ok(None),
                    }
                }))
                .await;
        };
        self.once(Kind::Open, grant.client(), carry).await
    }

    /// Takes the result of an opening: `None` is that of one whose client has left.
    fn opened(
        self: &Arc<Self>,
        key: &TaskKey,
        pass: Pass,
        clearance: Option<Clearance>,
        result: &Result<Option<Opened>, Failure>,
    ) {
        let is_probe = clearance.is_some_and(|clearance| clearance.is_probe);
        let now = Instant::now();
        let mut book = self.book();
        let (change, gate) = match result {
            Ok(None) => (Change::None, GateNews::None),
            // A key may read a task and not its content. Whether it is rejected altogether, the tasks show.
            Err(failure) if failure.is_of_key() => {
                self.budget.settle_aside(now, pass);
                (Change::None, Budget::no_news(is_probe))
            }
            result => {
                let failure = result.as_ref().err().copied();
                let change = self.settle_one_off(&mut book, key, pass, failure);
                (change, self.budget.gate_news(is_probe, key, failure, change, now))
            }
        };
        self.dispatch_beside(&mut book, now);
        drop(book);
        self.tell_gate(clearance, gate);
        self.budget.report(change, now);
    }
}
