//! Owns the decision whether an answer is the task's own (invariant 12).
//!
//! HTTP/1.1 assigns responses to requests by their order on the connection. An upstream that sends one too many
//! shifts all that follow, and only the ids in the bodies show it. An answer that names its task by the path's id,
//! by confirmed ids or by none is accepted. Other ids are either further names of the task or another task's: a
//! second answer with the same ids, on a connection that has served nothing else, confirms them.

use super::coordinator::Coordinator;
use super::refusals::Fault;
use crate::core::budget::Permit;
use crate::core::failure::Failure;
use crate::core::identity::{Aliases, ForeignIds};
use crate::core::ports::{Connection, Fetched, Reply};
use crate::core::snapshot::Snapshot;
use crate::core::task::TaskKey;

/// An answer that is the task's own.
#[derive(Debug, Clone)]
pub(super) struct OwnAnswer {
    pub(super) snapshot: Snapshot,
    /// The ids that it has confirmed.
    pub(super) confirmed: Option<ForeignIds>,
}

impl From<Snapshot> for OwnAnswer {
    fn from(snapshot: Snapshot) -> Self {
        Self { snapshot, confirmed: None }
    }
}

/// The verdict on the ids of an answer.
enum Verdict {
    /// They are the task's, or there are none.
    Own,
    /// One of them is another known task's.
    AnotherTask,
    /// They are unknown.
    Unconfirmed(ForeignIds),
}

/// The answer that a second one is to confirm.
struct First<'k> {
    key: &'k TaskKey,
    ids: ForeignIds,
    status: u16,
    connection: Connection,
}

impl Coordinator {
    /// Fetches a task's own answer: with a second request if the first answer leaves open whose it is.
    pub(super) async fn ask(&self, key: &TaskKey, permit: Permit) -> Result<OwnAnswer, Failure> {
        let suspect = self.refusals.suspect(key);
        let connection = if suspect.is_some() { Connection::Fresh } else { Connection::Any };
        let Fetched { snapshot, foreign } = self.source.fetch(key, permit, connection).await?;
        let status = snapshot.status.as_u16();
        let own = match self.verdict(key, foreign) {
            Verdict::Own => snapshot.into(),
            Verdict::AnotherTask => {
                self.refusals.remember(key, None);
                return Err(self.refuse(key, status, Fault::AnotherTask, connection));
            }
            // This is the second answer: the first was that of an earlier flight.
            Verdict::Unconfirmed(ids) if suspect.as_ref().is_some_and(|first| first.are(&ids)) => {
                OwnAnswer { snapshot, confirmed: Some(ids) }
            }
            Verdict::Unconfirmed(ids) => {
                let first = First { key, ids, status, connection };
                let second = self.second(&first).await?;
                return self.compared(first, second);
            }
        };
        if suspect.is_some() {
            self.refusals.forget(key);
        }
        Ok(own)
    }

    /// Cancels a task. If the reply leaves open whose it is, a status request decides: a cancellation is never
    /// sent twice.
    pub(super) async fn ask_to_cancel(
        &self,
        key: &TaskKey,
        permit: Permit,
    ) -> Result<Reply<OwnAnswer>, Failure> {
        let Fetched { snapshot, foreign } = match self.source.cancel(key, permit).await? {
            Reply::Answer(answer) => answer,
            Reply::Silent(status) => return Ok(Reply::Silent(status)),
        };
        let (status, connection) = (snapshot.status.as_u16(), Connection::Fresh);
        match self.verdict(key, foreign) {
            Verdict::Own => Ok(Reply::Answer(snapshot.into())),
            Verdict::AnotherTask => Err(self.refuse(key, status, Fault::AnotherTask, connection)),
            Verdict::Unconfirmed(ids) => {
                let first = First { key, ids, status, connection };
                let second = self.second(&first).await?;
                let confirmed = self.compared(first, second)?.confirmed;
                if confirmed.is_none() {
                    return Err(Failure::InvalidResponse { status });
                }
                Ok(Reply::Answer(OwnAnswer { snapshot, confirmed }))
            }
        }
    }

    fn verdict(&self, key: &TaskKey, foreign: Option<ForeignIds>) -> Verdict {
        let Some(ids) = foreign else { return Verdict::Own };
        let held = self.store.held(key);
        let none = Aliases::default();
        let aliases = held.newest().map_or(&none, |state| &state.aliases);
        // All ids have to be confirmed, not one of them: tasks may share one, such as that of their account.
        if ids.beside(aliases).next().is_none() {
            return Verdict::Own;
        }
        let is_known = |other: TaskKey| self.knows(&other) || self.book().backoffs.contains_key(&other);
        if ids.beside(aliases).any(|id| self.routes.keys_of(id).any(is_known)) {
            return Verdict::AnotherTask;
        }
        Verdict::Unconfirmed(ids)
    }

    /// The second answer, on a connection of its own.
    async fn second(&self, first: &First<'_>) -> Result<Fetched, Failure> {
        // Before the request: if that fails or is cut off, the next flight brings the second answer.
        self.refusals.remember(first.key, Some(&first.ids));
        let Some(permit) = self.budget.another().await else {
            return Err(self.refuse(first.key, first.status, Fault::Unconfirmed, first.connection));
        };
        self.source.fetch(first.key, permit, Connection::Fresh).await
    }

    /// The second answer, if it is the task's own: because it confirms the first, or although it does not.
    fn compared(&self, first: First<'_>, second: Fetched) -> Result<OwnAnswer, Failure> {
        let First { key, ids, status, connection } = first;
        let Fetched { snapshot, foreign } = second;
        if foreign.as_ref() == Some(&ids) {
            self.refusals.forget(key);
            return Ok(OwnAnswer { snapshot, confirmed: foreign });
        }
        match self.verdict(key, foreign) {
            Verdict::Own => {
                // The first answer is refused, and this one stands by itself.
                self.refuse(key, status, Fault::AnotherTask, connection);
                self.refusals.forget(key);
                Ok(snapshot.into())
            }
            Verdict::AnotherTask => {
                self.refusals.remember(key, None);
                Err(self.refuse(key, snapshot.status.as_u16(), Fault::AnotherTask, connection))
            }
            Verdict::Unconfirmed(others) => {
                self.refusals.remember(key, Some(&others));
                Err(self.refuse(key, snapshot.status.as_u16(), Fault::Differing, connection))
            }
        }
    }

    /// Refuses an answer that came on such a connection, and closes it.
    fn refuse(&self, key: &TaskKey, status: u16, fault: Fault, connection: Connection) -> Failure {
        // A fresh connection has served its only request.
        if connection == Connection::Any {
            self.source.distrust_connections();
        }
        self.refusals.tell(self.routes.template_of(key), key, fault);
        Failure::InvalidResponse { status }
    }
}
