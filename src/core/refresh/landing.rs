//! Owns the landing of an upstream request: it happens once, on return, on a panic and on abort.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::coordinator::Coordinator;
use crate::core::cause;
use crate::core::failure::Failure;
use crate::core::task::TaskKey;

/// The guard of one request. When it is dropped, it calls `land` with the result, or with a failure where
/// there is none.
///
/// The guard must be made within the tokio task of the request, not before `spawn`. A runtime that shuts down
/// drops new tasks inside `spawn`, where the book is locked.
pub(super) struct Landing<'c, T, L: FnOnce(Result<T, Failure>)> {
    coordinator: &'c Arc<Coordinator>,
    key: &'c TaskKey,
    started: Instant,
    result: Option<Result<T, Failure>>,
    land: Option<L>,
}

impl<'c, T, L: FnOnce(Result<T, Failure>)> Landing<'c, T, L> {
    pub(super) fn new(coordinator: &'c Arc<Coordinator>, key: &'c TaskKey, land: L) -> Self {
        Self { coordinator, key, started: Instant::now(), result: None, land: Some(land) }
    }

    /// Waits for the request, at most `policy.timeout`, and then lands it.
    pub(super) async fn of(mut self, request: impl Future<Output = Result<T, Failure>>) {
        let bounded = timeout(self.coordinator.policy.timeout, request);
        self.result = Some(bounded.await.unwrap_or(Err(Failure::TimedOut)));
    }
}

impl<T, L: FnOnce(Result<T, Failure>)> Drop for Landing<'_, T, L> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            if !self.coordinator.lifecycle.is_stopping() {
                let task = &self.key;
                cause::log(
                    || tracing::error!(%task, "a request broke off without a result; please report this"),
                );
            }
            Err(Failure::Unreachable)
        });
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        self.coordinator.recent_requests.landed(self.key, took, result.as_ref().err().copied(), now);
        if let Some(land) = self.land.take() {
            land(result);
        }
    }
}
