//! Owns the life of the process: one token that says "stop", and the tasks that a shutdown waits for.
//! No other code spawns, so no task runs without a shutdown that knows of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinHandle;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to the life of the process. Clones share that life.
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

    /// Runs a task in the background until the drain is over. The drain does not wait for it, but tasks that
    /// drain may still need it.
    pub fn spawn_background<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ended = self.ended.clone();
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        drop(tokio::spawn(async move {
            ended.run_until_cancelled(task).await;
        }));
    }

    /// Runs blocking work, such as reading a file, on a thread apart from the tasks. The work cannot be
    /// cancelled, and the end of the process does not wait for it. `None` where it panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        let working = tokio::task::spawn_blocking(work);
        working.await.ok()
    }

    /// Resolves when the process is to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// [`stopped`](Self::stopped) for a task that is woken often for other reasons: each further poll costs
    /// one atomic load. The future must stay in one task, because only the first poll registers a waker.
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

    /// Waits for all tasks, for at most `grace`. False where some still run after it.
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
    async fn a_task_woken_by_other_work_still_sees_the_stop() {
        let lifecycle = Lifecycle::default();
        let other_things = async {
            for _ in 0..10 {
                yield_now().await;
            }
            lifecycle.stop();
        };
        // In one task: each turn of the other work polls the stop as well.
        tokio::join!(lifecycle.stopped_meanwhile(), other_things);
        lifecycle.stopped_meanwhile().await;
    }
}
