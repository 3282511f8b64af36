//! Owns the registration of interest: a client that joins gets a fresh state or a waiter, or is refused where
//! too many tasks have interest.

use std::sync::Arc;

use parking_lot::MutexGuard;
use tokio::time::{Duration, Instant};

use super::book::Book;
use super::coordinator::Coordinator;
use super::interest::Interest;
use super::picture::Picture;
use super::waiter::Waiter;
use crate::core::budget::Readiness;
use crate::core::grant::Grant;
use crate::core::state::State;
use crate::core::store::Held;

/// The result of [`Coordinator::join`].
pub(in crate::core) enum Joined {
    /// A fresh state, which has landed meanwhile.
    Fresh(Arc<State>),
    /// A waiter for the refresh.
    Waiter(Waiter),
    /// The refusal: too many tasks have interest.
    Full,
}

/// The wish of a client that joins.
#[derive(Debug, Clone, Copy)]
enum Asks {
    /// A state now. The interest outlives by `linger` a client that disconnects without one.
    ForAnAnswer { linger: Duration },
    /// Each change.
    ToWatch,
}

impl Coordinator {
    /// Registers interest. It outlives by `linger` a client that disconnects without an answer.
    pub(in crate::core) fn join(self: &Arc<Self>, grant: &Grant, linger: Duration) -> Joined {
        let book = self.book();
        // Checked under the lock, because a flight may have landed since the caller's own check.
        let held = self.store.held(grant.key());
        if let Some(state) = held.fresh(Instant::now()) {
            return Joined::Fresh(Arc::clone(state));
        }
        let asks = Asks::ForAnAnswer { linger };
        self.waiter(book, &held, grant, asks).map_or(Joined::Full, Joined::Waiter)
    }

    /// Registers interest even where the state is fresh. `None` where too many tasks have interest.
    pub(in crate::core) fn watch(self: &Arc<Self>, grant: &Grant) -> Option<Waiter> {
        let book = self.book();
        let held = self.store.held(grant.key());
        self.waiter(book, &held, grant, Asks::ToWatch)
    }

    fn waiter(
        self: &Arc<Self>,
        mut book: MutexGuard<'_, Book>,
        held: &Held,
        grant: &Grant,
        asks: Asks,
    ) -> Option<Waiter> {
        let (key, client) = (grant.key(), grant.client());
        let now = Instant::now();
        book.sweep(now);
        let collapsed = book.schedule.contains(key);
        if !collapsed && book.schedule.len() >= self.policy.max_tasks && !book.make_room(client) {
            self.counters.too_many_tasks.add();
            return None;
        }
        let load = book.load(client, self.budget.flow(now));
        let is_idle = self.budget.readiness(now) == Readiness::Now && !book.schedule.has_due(now);
        let planned = match (held.newest(), asks) {
            (None, _) if is_idle => now,
            (None, _) => now + book.pacer.first_wait(key.route(), client, load.with_one_more(), now),
            (Some(state), Asks::ToWatch) => state.due,
            // With budget to spare, a client that asks gets no old state. When it is short the plan stands: those who
            // ask again and again gain nothing.
            (Some(state), Asks::ForAnAnswer { .. }) if book.pacer.is_short(client, load, now) => state.due,
            (Some(state), Asks::ForAnAnswer { .. }) => state.fresh_until,
        };
        let barred = book.backoffs.get(key).map(|backoff| backoff.until);
        let due = barred.map_or(planned, |until| planned.max(until));
        let number = book.schedule.want(key, client, due, now);
        // A key with other interest may be due when a state expires that the store has lost meanwhile.
        book.schedule.hasten(key, due);
        if !collapsed && barred.is_none() {
            book.schedule.allow_early(key, held.newest().map_or(now, |state| state.fresh_until));
        }
        let closed = book.closed;
        let picture = book.pictures.entry(key.clone()).or_insert_with(Picture::new);
        picture.ask();
        if closed {
            picture.close();
        }
        let (frames, flight) = (picture.subscribe(), picture.answering_flight());
        self.dispatch_beside(&mut book, now);
        drop(book);
        // Made outside the lock, because its drop takes the lock; and made at once, so that no panic can come
        // between.
        let linger = match asks {
            Asks::ForAnAnswer { linger } => Some(linger),
            Asks::ToWatch => None,
        };
        let interest = Interest::new(Arc::clone(self), key.clone(), client.clone(), number, linger);
        Some(Waiter { frames, flight, known_before: held.has_stand_in(now), collapsed, interest })
    }
}
