//! Owns the price: what a request is worth to a client just now, in seconds of undetected delay.
//!
//! The price is not fed back from the queue. It makes the planned intervals of a client's tasks last, on average, as
//! long as its part of the budget allows; and because it grows with the square of that interval, it follows a sudden
//! rush at once.

use std::collections::HashMap;

use tokio::time::{Duration, Instant};

use crate::core::budget::Flow;
use crate::core::grant::Client;
use crate::core::meter::Meter;

/// The least price: a request for less delay is worth nothing to a person, in seconds.
const LEAST: f64 = 0.05;
/// The planned intervals are this part of what the budget allows, so that it is used.
const USED: f64 = 0.97;
/// The longest wait in seconds, whatever the budget.
pub(super) const LONGEST: f64 = 86_400.0;
/// The gain with which the price follows the plans, and the most that one plan changes it.
const GAIN: f64 = 0.02;
const MOST_STEP: f64 = 0.2;
/// The ends a second of one task, halved, that are supposed of a client of which nothing is known: tasks of a minute.
const FIRST_FACTOR: f64 = 0.5 / 60.0;
/// A client without a look for so long is forgotten when there is no room …
const FORGOTTEN: Duration = Duration::from_secs(120);
/// … which is looked for no more often than this: the search goes through all clients.
const SEARCHED: Duration = Duration::from_secs(10);

/// The load of one client, and of all.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The tasks that the client wants.
    pub tasks: usize,
    /// The clients that want a task.
    pub clients: usize,
    /// The tasks that any client wants.
    pub all_tasks: usize,
    /// The budget.
    pub flow: Flow,
}

impl Load {
    /// The load with one task more of this client.
    #[must_use]
    pub fn with_one_more(self) -> Self {
        let clients = self.clients + usize::from(self.tasks == 0);
        Self { tasks: self.tasks + 1, clients, all_tasks: self.all_tasks + 1, ..self }
    }
}

/// The prices of all clients.
#[derive(Debug)]
pub(super) struct Prices {
    clients: HashMap<Client, Account>,
    most: usize,
    /// When room was looked for last.
    searched: Option<Instant>,
}

/// The account of one client.
#[derive(Debug)]
struct Account {
    /// The price is this times the square of the mean interval.
    factor: f64,
    /// Looks at its tasks.
    looks: Meter,
}

/// The worth of a request to one client just now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    /// The mean interval at which the client's part of the budget lets its tasks be looked at, in seconds.
    pub(super) interval: f64,
    /// Seconds of undetected delay.
    pub(super) cost: f64,
}

impl Price {
    /// The price where nobody pays.
    pub(super) const LEAST: Self = Self { interval: 1e-3, cost: LEAST };

    /// Whether the budget is ample for this client: a request costs as little as it ever does.
    pub(super) fn is_least(self) -> bool {
        self.cost <= LEAST
    }

    /// Whether the budget is short for this client: its tasks are worth more looks than there are, or there are too few
    /// to look at each as often as `max_interval` says.
    pub(super) fn is_short(self, max_interval: Duration) -> bool {
        !self.is_least() || self.interval > max_interval.as_secs_f64()
    }
}

impl Prices {
    /// Remembers at most so many clients.
    pub(super) fn new(most: usize) -> Self {
        Self { clients: HashMap::new(), most, searched: None }
    }

    /// Notes a look at a task that this client wants.
    pub(super) fn looked(&mut self, client: &Client, now: Instant) {
        if let Some(account) = self.clients.get_mut(client) {
            account.looks.note(now);
            return;
        }
        let may_search = self.searched.is_none_or(|searched| now >= searched + SEARCHED);
        if self.clients.len() >= self.most && may_search {
            self.searched = Some(now);
            self.clients.retain(|_, account| now.saturating_duration_since(account.looks.last) < FORGOTTEN);
        }
        if self.clients.len() < self.most {
            let mut looks = Meter::new(now);
            looks.note(now);
            self.clients.insert(client.clone(), Account { factor: FIRST_FACTOR, looks });
        }
    }

    /// The price for a client.
    pub(super) fn of(&self, client: &Client, load: Load, now: Instant) -> Price {
        let account = self.clients.get(client);
        let factor = account.map_or(FIRST_FACTOR, |account| account.factor);
        let used = account.map_or(0.0, |account| account.looks.rate(now));
        let interval = interval(load, used);
        Price { interval, cost: (factor * interval * interval).max(LEAST) }
    }

    /// Notes a planned interval, in seconds.
    pub(super) fn planned(&mut self, client: &Client, price: Price, wait: f64) {
        let Some(account) = self.clients.get_mut(client) else { return };
        let Price { interval, .. } = price;
        let step = (GAIN * (USED * interval - wait) / interval).clamp(-MOST_STEP, MOST_STEP);
        // Below the least price the factor has no effect, and what it was before counts when the budget is short again.
        if step < 0.0 && price.is_least() {
            return;
        }
        // No wait collects more delay than it lasts, so a price above the longest interval changes nothing.
        let most = (LONGEST / interval).max(LEAST / (interval * interval));
        account.factor = (account.factor * step.exp()).min(most);
    }
}

/// The mean interval that a client's part of the budget allows: an equal part of it, or what its tasks use now together
/// with what nobody uses, if that is more.
fn interval(load: Load, used: f64) -> f64 {
    let Load { tasks, clients, all_tasks, flow } = load;
    let per_second = flow.per_second.max(1e-6);
    let turns = clients.min(all_tasks).max(1) as f64;
    let unused = (per_second - flow.used).max(0.0);
    let part = (per_second / turns).max(used + unused).min(per_second);
    (tasks.max(1) as f64 / part).max(1e-3)
}
