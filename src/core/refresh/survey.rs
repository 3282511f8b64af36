//! Owns the list of tasks, for operators.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::Coordinator;
use crate::core::failure::Failure;
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::core::task::TaskKey;

/// The number of keys searched for those with the most watchers. It is bounded, because the book is locked
/// meanwhile.
const SCANNED: usize = 2000;
/// The time that a live task stays in the list after its last refresh: clients that poll come and go.
const LIVE_FOR: Duration = Duration::from_secs(30);
/// The time that a terminal or missing task stays in the list: long enough to be seen.
const OVER_FOR: Duration = Duration::from_secs(12);

/// One task of the list.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// The key of the task.
    pub key: TaskKey,
    /// The newest state of the task, if the store holds one.
    pub state: Option<Arc<State>>,
    /// The number of clients that wait for the task or watch it.
    pub watchers: usize,
    /// The time of the next refresh.
    pub next: Next,
    /// The last failure, while the backoff lasts.
    pub trouble: Option<Failure>,
}

/// The time of the next refresh of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A flight is under way.
    InFlight,
    /// The task is due then, and is refreshed when its turn comes.
    At(Instant),
    /// The task has no interest, and is refreshed only after a client asks again.
    Unwanted,
}

impl Coordinator {
    /// The number of tasks with interest or a recent refresh, and up to `most` of them, the oldest first.
    pub(in crate::core) fn survey(&self, most: usize, now: Instant) -> (usize, Vec<TaskRow>) {
        let (total, mut rows) = self.wanted(most, now);
        let mut listed: HashSet<TaskKey> = rows.iter().map(|row| row.key.clone()).collect();
        for key in self.recent_requests.told_within(LIVE_FOR, now) {
            if rows.len() < most && listed.insert(key.clone()) {
                let (watchers, next, trouble) = (0, Next::Unwanted, None);
                rows.push(TaskRow { key, state: None, watchers, next, trouble });
            }
        }
        for row in &mut rows {
            row.state = self.store.held(&row.key).newest().cloned();
        }
        rows.retain(|row| row.next != Next::Unwanted || row.state.as_deref().is_some_and(is_shown(now)));
        rows.sort_by_cached_key(|row| {
            let seen = row.state.as_ref().map_or(now, |state| state.first_seen);
            (seen, row.key.clone())
        });
        (total.max(rows.len()), rows)
    }

    fn wanted(&self, most: usize, now: Instant) -> (usize, Vec<TaskRow>) {
        let book = self.book();
        let mut rows: Vec<TaskRow> = book
            .schedule
            .survey(SCANNED)
            .map(|(key, due, in_flight, watchers)| {
                let next = if in_flight { Next::InFlight } else { Next::At(due) };
                TaskRow { key: key.clone(), state: None, watchers, next, trouble: None }
            })
            .collect();
        let total = book.schedule.len();
        if rows.len() > most {
            rows.select_nth_unstable_by_key(most, |row| std::cmp::Reverse(row.watchers));
            rows.truncate(most);
        }
        for row in &mut rows {
            let backoff = book.backoffs.get(&row.key).filter(|backoff| backoff.until > now);
            row.trouble = backoff.map(|backoff| backoff.failure);
        }
        (total, rows)
    }
}

fn is_shown(now: Instant) -> impl Fn(&State) -> bool {
    move |state| {
        let ago = now.saturating_duration_since(state.snapshot.fetched);
        match state.snapshot.phase {
            Phase::Live => ago <= LIVE_FOR,
            Phase::Terminal | Phase::Missing | Phase::Refused => ago <= OVER_FOR,
        }
    }
}
