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
mod durations;
mod file;
mod film;
mod json;
mod limiter;
mod medium;
mod mp4;
mod options;
mod picture;
mod plan;
mod refusal;
mod shelf;
mod state;
mod target;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::get;

pub use self::durations::Durations;
pub use self::medium::Medium;
pub use self::options::Options;
pub use self::plan::{Course, Ending, Pin, Plan};
use self::state::Shared;

/// The sandbox. Clones share everything.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Shared>);

impl Sandbox {
    /// A sandbox without tasks.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared::new(options)))
    }

    /// All paths. Each of them needs a key, except the placeholder images and films under `/files`.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer::answer).with_state(Arc::clone(&self.0))
    }

    /// The same, with this page at `/`.
    pub fn router_with(&self, page: &'static str) -> Router {
        self.router().route("/", get(async move || Html(page)))
    }

    /// Creates a task without a request, so that no rate limit counts it, and returns its id.
    pub fn create(&self, medium: Medium, plan: Plan) -> String {
        self.0.start(medium, plan).id.to_string()
    }

    /// The number of status requests so far, refused ones included.
    pub fn requests(&self) -> u64 {
        self.0.status_requests()
    }
}
