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
mod json;
mod limiter;
mod medium;
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

pub use self::medium::Medium;
pub use self::options::Options;
pub use self::plan::{Course, Ending, Pin, Plan};
use self::state::Shared;

/// The look-alike. Clones share everything.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Shared>);

impl Sandbox {
    /// A sandbox without tasks.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared::new(options)))
    }

    /// All its paths. Every one wants a key, but for the placeholder images under `/files`.
    pub fn router(&self) -> Router {
        Router::new().fallback(answer::answer).with_state(Arc::clone(&self.0))
    }

    /// The same, with a page at `/` that shows what goes on.
    pub fn router_with(&self, page: &'static str) -> Router {
        self.router().route("/", get(async move || Html(page)))
    }

    /// Starts a task from within and returns its id. It counts against no limit.
    pub fn create(&self, medium: Medium, plan: Plan) -> String {
        self.0.start(medium, plan).id.to_string()
    }

    /// How many status requests have come in so far, refused ones included.
    pub fn requests(&self) -> u64 {
        self.0.status_requests()
    }
}
