//! Owns the life of the process: one token that says "stop", and the tasks to wait for.
//! The only place that spawns, so that nothing is left running unseen.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinHandle;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to the life of the process. A clone is another handle to the same life.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs a task that the drain waits for.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Runs a task in the background until the drain is over: nobody waits for it, and what drains may
    /// still need it.
    pub fn spawn_background<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ended = self.ended.clone();
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        drop(tokio::spawn(async move {
            ended.run_until_cancelled(task).await;
        }));
    }

    /// Runs what may block, such as reading a file, apart from the tasks. It cannot be broken off, and the end of
    /// the process does not wait for it.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        let working = tokio::task::spawn_blocking(work);
        working.await.ok()
    }

    /// Resolves when the process is to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The same for a task that other things wake often: to go on waiting costs it no more than a look. Not to be
    /// handed to another task.
    pub async fn stopped_meanwhile(&self) {
        let mut stopped = pin!(self.stopped());
        let mut waits = false;
        poll_fn(|cx| {
            if waits && !self.is_stopping() {
                return Poll::Pending;
            }
            waits = true;
            stopped.as_mut().poll(cx)
        })
        .await;
    }

    /// Whether the process is to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells everything to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for every task, at most `grace`. False where some were still running.
    pub async fn drained(&self, grace: Duration) -> bool {
        self.tasks.close();
        let all_done = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.ended.cancel();
        all_done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn who_does_other_things_meanwhile_is_told_of_the_stop_all_the_same() {
        let lifecycle = Lifecycle::default();
        let other_things = async {
            for _ in 0..10 {
                yield_now().await;
            }
            lifecycle.stop();
        };
        // In one task: each turn of the other things is a look at the stop.
        tokio::join!(lifecycle.stopped_meanwhile(), other_things);
        lifecycle.stopped_meanwhile().await;
    }
}
