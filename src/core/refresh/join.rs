//! Owns the registering of interest: who joins gets a fresh state, a waiter, or nothing where too many tasks have
//! interest.

use std::sync::Arc;

use parking_lot::MutexGuard;
use tokio::time::{Duration, Instant};

use super::book::Book;
use super::coordinator::Coordinator;
use super::interest::Interest;
use super::picture::Picture;
use super::waiter::Waiter;
use crate::core::grant::Grant;
use crate::core::state::State;
use crate::core::store::Held;

/// What a client that asks for a refresh gets.
pub(in crate::core) enum Joined {
    /// A state that has become fresh meanwhile.
    Fresh(Arc<State>),
    /// A waiter from which to see the refresh.
    Waiter(Waiter),
    /// Nothing: too many tasks have interest.
    Full,
}

impl Coordinator {
    /// Registers interest. `linger` is how long it outlives a client that leaves without an answer.
    pub(in crate::core) fn join(self: &Arc<Self>, grant: &Grant, linger: Option<Duration>) -> Joined {
        let book = self.book();
        // Under the lock: between the caller's look and this one a flight may have landed.
        let held = self.store.held(grant.key());
        if let Some(state) = held.fresh(Instant::now()) {
            return Joined::Fresh(Arc::clone(state));
        }
        self.waiter(book, &held, grant, linger).map_or(Joined::Full, Joined::Waiter)
    }

    /// Registers interest that lasts, however fresh the state is. `None` where too many tasks have some.
    pub(in crate::core) fn watch(self: &Arc<Self>, grant: &Grant) -> Option<Waiter> {
        let book = self.book();
        let held = self.store.held(grant.key());
        self.waiter(book, &held, grant, None)
    }

    fn waiter(
        self: &Arc<Self>,
        mut book: MutexGuard<'_, Book>,
        held: &Held,
        grant: &Grant,
        linger: Option<Duration>,
    ) -> Option<Waiter> {
        let (key, client) = (grant.key(), grant.client());
        let now = Instant::now();
        book.sweep(now);
        let collapsed = book.schedule.contains(key);
        if !collapsed && book.schedule.len() >= self.policy.max_tasks {
            self.counters.too_many_tasks.add();
            return None;
        }
        let known = held.newest().map_or(now, |state| state.fresh_until);
        let barred = book.backoffs.get(key).map_or(known, |backoff| backoff.until);
        book.schedule.want(key, client, known.max(barred), now);
        let closed = book.closed;
        let picture = book.pictures.entry(key.clone()).or_insert_with(Picture::new);
        picture.ask();
        if closed {
            picture.close();
        }
        let (frames, flight) = (picture.subscribe(), picture.answering_flight());
        self.dispatch_beside(&mut book, now);
        drop(book);
        // Last: its end takes the lock, so nothing that could panic may come between.
        let interest = Interest::new(Arc::clone(self), key.clone(), client.clone(), linger);
        Some(Waiter { frames, flight, known_before: held.has_stand_in(now), collapsed, interest })
    }
}
