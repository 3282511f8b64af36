//! Owns the list of what is looked after, for those who watch over the gateway.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::Desk;
use crate::core::ports::Failure;
use crate::core::snapshot::{Phase, State};
use crate::core::task::TaskKey;

/// How many keys are looked through for those with most watchers: the book is locked meanwhile.
const SCANNED: usize = 2000;
/// How long a live task stays in the list after its last refresh: those who poll come and go.
const LIVE_FOR: Duration = Duration::from_secs(30);
/// How long one that is over does: long enough to be seen.
const OVER_FOR: Duration = Duration::from_secs(12);

/// One task of the list.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which one.
    pub key: TaskKey,
    /// What is known of it.
    pub state: Option<Arc<State>>,
    /// How many wait for it or watch it.
    pub watchers: usize,
    /// When it is asked about next.
    pub next: Next,
    /// What went wrong last, while it is left alone for that.
    pub trouble: Option<Failure>,
}

/// When a task is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Just now.
    InFlight,
    /// Then, or when its turn comes.
    At(Instant),
    /// When somebody asks again.
    Unwanted,
}

impl Desk {
    /// Up to `most` tasks, the oldest first, and how many are looked after in all.
    pub(in crate::core) fn survey(&self, most: usize, now: Instant) -> (usize, Vec<Line>) {
        let (total, mut lines) = self.wanted(most, now);
        let mut listed: HashSet<TaskKey> = lines.iter().map(|line| line.key.clone()).collect();
        for key in self.chronicle.told_within(LIVE_FOR, now) {
            if lines.len() < most && listed.insert(key.clone()) {
                let (watchers, next, trouble) = (0, Next::Unwanted, None);
                lines.push(Line { key, state: None, watchers, next, trouble });
            }
        }
        for line in &mut lines {
            line.state = self.store.held(&line.key).newest().cloned();
        }
        lines.retain(|line| line.next != Next::Unwanted || line.state.as_deref().is_some_and(is_shown(now)));
        lines.sort_by_cached_key(|line| {
            let seen = line.state.as_ref().map_or(now, |state| state.first_seen);
            (seen, line.key.clone())
        });
        (total.max(lines.len()), lines)
    }

    fn wanted(&self, most: usize, now: Instant) -> (usize, Vec<Line>) {
        let book = self.book();
        let mut lines: Vec<Line> = book
            .schedule
            .survey(SCANNED)
            .map(|(key, due, in_flight, watchers)| {
                let next = if in_flight { Next::InFlight } else { Next::At(due) };
                Line { key: key.clone(), state: None, watchers, next, trouble: None }
            })
            .collect();
        let total = book.schedule.len();
        if lines.len() > most {
            lines.select_nth_unstable_by_key(most, |line| std::cmp::Reverse(line.watchers));
            lines.truncate(most);
        }
        for line in &mut lines {
            let setback = book.setbacks.get(&line.key).filter(|setback| setback.until > now);
            line.trouble = setback.map(|setback| setback.failure);
        }
        (total, lines)
    }
}

fn is_shown(now: Instant) -> impl Fn(&State) -> bool {
    move |state| {
        let ago = now.saturating_duration_since(state.snapshot.fetched);
        match state.snapshot.phase {
            Phase::Live => ago <= LIVE_FOR,
            Phase::Terminal | Phase::Missing => ago <= OVER_FOR,
        }
    }
}
