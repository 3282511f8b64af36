//! Owns a look-alike of the upstream, for work on a page without network, key or bill.
//!
//! It speaks LemonData's contract for asynchronous tasks: creates, statuses, cancels, limits and
//! errors. Tasks live in memory, nothing runs in the background, and every state is computed from
//! the time since the create (see [`Options`] for what can be set). The same task in the same state
//! is the same bytes, by every path, so that a gateway's answers can be compared with these.
//!
//! A create may carry an object `sandbox` that pins its task to a state or steers how it goes, so
//! that a page can be looked at in each:
//! `{"prompt": "…", "sandbox": {"status": "processing", "progress": 40}}`, or
//! `{"prompt": "…", "sandbox": {"duration": "5s", "fail": true}}`.
//!
//! Lock order: none. The limiter and the shelf each have a lock, no one holds both, and neither is
//! held across an await.

mod answer;
mod body;
mod create;
mod limiter;
mod medium;
mod options;
mod picture;
mod plan;
mod refusal;
mod shelf;
mod target;
mod task;
#[cfg(test)]
mod tests;

use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use jiff::Timestamp;
use tokio::time::Instant;

use limiter::Limiter;
use refusal::Refusal;
use shelf::Shelf;
use task::{State, Task};

pub use medium::Medium;
pub use options::Options;
pub use plan::{Course, Ending, Pin, Plan};

/// The look-alike. Clones share everything.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    limiter: Mutex<Limiter>,
    shelf: Mutex<Shelf>,
    status_requests: AtomicU64,
}

impl Sandbox {
    /// A sandbox without tasks.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared {
            limiter: Mutex::new(Limiter::new(options.requests_per_minute)),
            shelf: Mutex::default(),
            status_requests: AtomicU64::new(0),
            options,
        }))
    }

    /// All its paths. Every one wants a key, but for the placeholder images under `/files`.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer::answer).with_state(self.clone())
    }

    /// The same, with a page at `/` that shows what goes on.
    pub fn router_with(&self, page: &'static str) -> Router {
        self.router().route("/", get(async move || Html(page)))
    }

    /// Starts a task from within and returns its id. It counts against no limit.
    pub fn create(&self, medium: Medium, plan: Plan) -> String {
        self.start(medium, plan).id.to_string()
    }

    /// How many status requests have come in so far, refused ones included.
    pub fn requests(&self) -> u64 {
        self.0.status_requests.load(Ordering::Relaxed)
    }

    fn options(&self) -> &Options {
        &self.0.options
    }

    fn count_status_request(&self) {
        self.0.status_requests.fetch_add(1, Ordering::Relaxed);
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        lock(&self.0.limiter)
    }

    fn start(&self, medium: Medium, plan: Plan) -> Task {
        let id = format!("ldtask_{:032x}", fastrand::u128(..));
        let task = Task::start(id, medium, plan, self.options(), Instant::now(), wall_clock());
        lock(&self.0.shelf).put(task.clone());
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
    fn look(&self, id: &str) -> Option<(Task, State)> {
        let task = lock(&self.0.shelf).get(id)?.clone();
        let state = task.state(Instant::now(), self.options())?;
        Some((task, state))
    }

    fn cancel(&self, id: &str) -> Result<(Task, State), Refusal> {
        let mut shelf = lock(&self.0.shelf);
        let task = shelf.get_mut(id).ok_or(Refusal::TaskNotFound)?;
        let state = task.cancel(Instant::now(), self.options())?;
        let task = task.clone();
        drop(shelf);
        tracing::info!(task.id = id, "task cancelled");
        Ok((task, state))
    }
}

/// Every change under these locks is whole before anything can panic, so a poisoned one is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// The date that answers carry. Courses run on tokio's clock, which tests pause.
#[expect(clippy::disallowed_methods, reason = "the one place where the sandbox reads the wall clock")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}
