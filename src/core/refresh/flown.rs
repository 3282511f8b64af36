//! Owns what a flight brings home.

use std::sync::Arc;

use super::ownership::OwnAnswer;
use crate::core::budget::{Change, Pass};
use crate::core::shared::SharedState;
use crate::core::state::State;

/// The result of a flight that did not fail.
#[derive(Debug)]
pub(super) enum Flown {
    /// The upstream's answer.
    Answer(OwnAnswer),
    /// The same, as the state that the other replicas have.
    Made(Arc<State>),
    /// Another replica's state: a newer one, or one that absorbs the answer.
    Shared(SharedState),
    /// The upstream's answer about a task that another replica has forgotten meanwhile: it answers those who wait, and is
    /// not stored.
    Outdated(Arc<State>),
}

/// Whether the budget knows the result of a request already.
#[derive(Debug, Clone, Copy)]
pub(super) enum Settled {
    /// It has yet to be settled.
    Not(Pass),
    /// It is settled, with this change.
    With(Change),
}
