//! Owns the tasks `push-…`, which all change at the same moment: when the benchmark says so.
//!
//! Whoever polls them sees a change only at its next look. So the origin holds the looks until one at each task has
//! come, and answers all of them at the change.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::script;

/// The length of the ids of events, which is that of taskgate's.
const ID: usize = 34;

#[derive(Debug)]
pub struct Changes {
    now: watch::Sender<Now>,
    /// The tasks whose looks are held.
    held: Mutex<HashSet<String>>,
}

#[derive(Debug, Clone, Copy)]
struct Now {
    change: Change,
    holds: bool,
}

/// A state of all tasks.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The number of states so far.
    pub version: u64,
    /// The length of the JSON, in bytes, of [`BODY`](script::BODY) at least.
    pub length: usize,
}

/// The state before the first change.
pub const FIRST: Change = Change { version: 1, length: script::BODY };

impl Default for Changes {
    fn default() -> Self {
        Self { now: watch::Sender::new(Now { change: FIRST, holds: false }), held: Mutex::default() }
    }
}

impl Changes {
    /// Holds all looks that come, until at least one at each of this number of tasks has come.
    pub async fn hold(&self, tasks: usize) {
        self.now.send_modify(|now| now.holds = true);
        let mut changed = self.now.subscribe();
        while self.held() < tasks {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The number of tasks whose looks are held.
    pub fn held(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Changes all tasks, and answers the looks that are held.
    pub fn change(&self, change: Change) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.now.send_modify(|now| *now = Now { change, holds: false });
    }

    /// The JSON of the task, as soon as looks are not held.
    pub async fn state(&self, id: &str) -> String {
        let mut now = self.now.subscribe();
        if now.borrow().holds {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
            self.now.send_modify(|_| {});
        }
        let change = now.wait_for(|now| !now.holds).await.map_or(FIRST, |now| now.change);
        change.state(id)
    }

    /// The answer that makes Pushpin hold the connection of a client as a stream of the task, which begins with its
    /// state.
    pub fn hold_answer(&self, id: &str) -> String {
        let body = self.now.borrow().change.event(id);
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store, no-transform\r\nGrip-Hold: stream\r\nGrip-Channel: {id}\r\nGrip-Keep-Alive: :\\n\\n; format=cstring; timeout=15\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

impl Change {
    /// The JSON of the task.
    pub fn state(self, id: &str) -> String {
        let mut text = script::body(id, "processing", 40, self.version);
        if self.length > text.len() {
            let more = "x".repeat(self.length - text.len());
            text.insert_str(text.len() - 2, &more);
        }
        text
    }

    /// The event of that state, with an id as long as taskgate's.
    pub fn event(self, id: &str) -> String {
        format!("id: {:0ID$}\ndata: {}\n\n", self.version, self.state(id))
    }
}
