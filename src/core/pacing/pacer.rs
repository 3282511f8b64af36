//! Owns the pacer: it takes each look, and plans the next one.

use tokio::time::{Duration, Instant};

use super::clocks::Kind;
use super::curve::Curve;
use super::figures::RouteFigures;
use super::interval::Pacing;
use super::learning::{Learning, Payer};
use super::look::{Before, Look, Plan};
use super::models::hazard;
use super::price::{LONGEST, Load};
use crate::core::grant::Client;
use crate::core::snapshot::Phase;

/// The number of ends that a model's table remembers.
pub const MEMORY: f32 = 200.0;
/// The most clients of a task whose prices are compared for one look.
const COMPARED: usize = 64;

/// A curve of fewer ends would show what was supposed before the first.
const SHOWN_FROM: u32 = 5;

/// Plans the looks.
#[derive(Debug)]
pub struct Pacer {
    pacing: Pacing,
    /// `None`: the interval depends on the age alone.
    learning: Option<Learning>,
}

impl Pacer {
    /// A pacer that does not learn: the interval depends on the age of a task alone.
    pub fn fixed(pacing: Pacing) -> Self {
        Self { pacing, learning: None }
    }

    /// A pacer that learns. A model's table remembers about `memory` ends ([`MEMORY`]), and the prices of at most
    /// `max_clients` clients are remembered.
    pub fn learning(pacing: Pacing, memory: f32, max_clients: usize) -> Self {
        let learning = Learning::new(memory, max_clients);
        Self { pacing, learning: Some(learning) }
    }

    /// Notes a look, and plans the next one if the task runs. `clients` want the task, and `load` tells theirs.
    pub fn looked<'c>(
        &mut self,
        look: Look<'_>,
        clients: impl Iterator<Item = &'c Client>,
        load: impl Fn(&Client) -> Load,
    ) -> Option<Plan> {
        let is_live = look.snapshot.phase == Phase::Live;
        let now = look.snapshot.fetched;
        let Some(learning) = &mut self.learning else {
            let interval = self.pacing.interval(now.saturating_duration_since(look.first_seen));
            return is_live.then_some(Plan { wait: interval, fresh_for: interval, track: None });
        };
        let mut payer = Payer::ANYBODY;
        for client in clients.take(COMPARED) {
            learning.prices.looked(client, now);
            let price = learning.prices.of(client, load(client), now);
            if payer.client.is_none() || price.cost < payer.price.cost {
                payer = Payer { client: Some(client), price };
            }
        }
        let model = learning.model(look);
        if look.snapshot.phase.is_known() && !matches!(look.before, Before::Over) {
            learning.learn(look, model, payer.price);
        }
        is_live.then(|| learning.plan(look, model, payer, &self.pacing))
    }

    /// The time from a client's first question about an unknown task to its first look: none where requests cost as
    /// little as they ever do. Otherwise a look at a task that has just begun costs others more than it brings.
    pub fn first_wait(&self, route: usize, client: &Client, load: Load, now: Instant) -> Duration {
        let Some(learning) = &self.learning else { return Duration::ZERO };
        let price = learning.prices.of(client, load, now);
        if price.is_least() {
            return Duration::ZERO;
        }
        let learnt = learning.routes.get(route).map(|(learnt, _)| learnt);
        let is_told = learnt.is_some_and(|learnt| learnt.table(Kind::Created).is_some());
        let kind = if is_told { Kind::Created } else { Kind::Seen };
        let most = price.interval.min(LONGEST);
        Duration::from_secs_f64(hazard(None, learnt, kind).wait(0.0, price.cost, most))
    }

    /// Whether the budget is short for a client.
    pub fn is_short(&self, client: &Client, load: Load, now: Instant) -> bool {
        let Some(learning) = &self.learning else { return false };
        learning.prices.of(client, load, now).is_short(self.pacing.max_interval)
    }

    /// The figures of each route, in the order of the routes. Empty unless the pacer learns.
    pub fn figures(&self) -> Vec<RouteFigures> {
        let routes = self.learning.as_ref().map(|learning| &learning.routes);
        routes.into_iter().flatten().map(|(_, figures)| *figures).collect()
    }

    /// The curves of the models with the most ends, at most so many.
    pub fn curves(&self, most: usize) -> Vec<Curve> {
        let Some(learning) = self.learning.as_ref().filter(|_| most > 0) else { return Vec::new() };
        let models = learning.models.iter().map(|model| (model.route, &*model.name, &model.learnt));
        let routes = learning.routes.iter().enumerate().map(|(route, (learnt, _))| (route, "", learnt));
        let mut busiest: Vec<_> =
            models.chain(routes).filter(|(_, _, learnt)| learnt.ends >= SHOWN_FROM).collect();
        busiest.sort_by_key(|(_, name, learnt)| (name.is_empty(), std::cmp::Reverse(learnt.ends)));
        busiest.into_iter().take(most).filter_map(|of| learning.curve(of)).collect()
    }

    #[cfg(test)]
    pub(super) fn learnt(&self) -> &Learning {
        self.learning.as_ref().expect("it learns")
    }
}
