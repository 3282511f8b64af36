//! Owns a simulated LemonData, for work without network, API key or cost.
//!
//! It follows LemonData's API of asynchronous tasks: creates, statuses, cancellations, rate limits and
//! errors. [`Options`] are its flags. Tasks live in memory, nothing runs in the background, and every state
//! is computed from the time since the create. The same task in the same state is the same bytes on every
//! path, so that a gateway's answers can be compared with the sandbox's.
//!
//! A create may hold an object `sandbox` that pins its task to a state or sets its duration and ending, so
//! that a page can be tested in each state: `{"prompt": "…", "sandbox": {"status": "processing", "progress":
//! 40}}`, or `{"prompt": "…", "sandbox": {"duration": "5s", "fail": true}}`.
//!
//! Lock order: none. The limiter and the shelf have a lock each. No code holds both, or one across an await.

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

/// The sandbox. Clones share everything.
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

    /// All paths. Each of them needs a key, except the placeholder images under `/files`.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer::answer).with_state(self.clone())
    }

    /// The same, with this page at `/`.
    pub fn router_with(&self, page: &'static str) -> Router {
        self.router().route("/", get(async move || Html(page)))
    }

    /// Creates a task without a request, so that no rate limit counts it, and returns its id.
    pub fn create(&self, medium: Medium, plan: Plan) -> String {
        self.start(medium, plan).id.to_string()
    }

    /// The number of status requests so far, refused ones included.
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

    /// The task and its state now; `None` answers 404.
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

/// These locks do not poison: every change under them is complete before anything can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

/// The wall clock, for the dates in answers. The states of tasks follow tokio's clock, which tests pause.
#[expect(clippy::disallowed_methods, reason = "the one place where the sandbox reads the wall clock")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}
