//! Owns what the sandbox's requests share: its options, the rate limiter and the tasks.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::limiter::Limiter;
use super::medium::Medium;
use super::options::Options;
use super::plan::Plan;
use super::refusal::Refusal;
use super::shelf::Shelf;
use super::task::{State, Task};

/// The sandbox's state.
#[derive(Debug)]
pub(super) struct Shared {
    options: Options,
    limiter: Mutex<Limiter>,
    shelf: Mutex<Shelf>,
    status_requests: AtomicU64,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            limiter: Mutex::new(Limiter::new(options.requests_per_minute)),
            shelf: Mutex::default(),
            status_requests: AtomicU64::new(0),
            options,
        }
    }

    /// Status requests so far, refused ones included.
    pub(super) fn status_requests(&self) -> u64 {
        self.status_requests.load(Ordering::Relaxed)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn count_status_request(&self) {
        self.status_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock()
    }

    pub(super) fn start(&self, medium: Medium, plan: Plan) -> Task {
        let id = format!("ldtask_{:032x}", fastrand::u128(..));
        let task = Task::start(id, medium, plan, self.options(), Instant::now(), wall_clock());
        self.shelf.lock().put(task.clone());
        let poll_url = task.poll_url();
        tracing::info!(
            task.id = &*task.id,
            task.medium = medium.name(),
            task.poll_url = poll_url,
            "task created"
        );
        task
    }

    /// The task and what it shows now; `None` where it is not found.
    pub(super) fn look(&self, id: &str) -> Option<(Task, State)> {
        let task = self.shelf.lock().get(id)?.clone();
        let state = task.state(Instant::now(), self.options())?;
        Some((task, state))
    }

    pub(super) fn cancel(&self, id: &str) -> Result<(Task, State), Refusal> {
        let mut shelf = self.shelf.lock();
        let task = shelf.get_mut(id).ok_or(Refusal::TaskNotFound)?;
        let state = task.cancel(Instant::now(), self.options())?;
        let task = task.clone();
        drop(shelf);
        tracing::info!(task.id = id, "task cancelled");
        Ok((task, state))
    }
}

/// The date that answers carry. Courses run on tokio's clock, which tests pause.
#[expect(clippy::disallowed_methods, reason = "the one place where the sandbox reads the wall clock")]
pub(super) fn wall_clock() -> Timestamp {
    Timestamp::now()
}
