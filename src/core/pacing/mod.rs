//! Owns the pacing: when a task is looked at again.
//!
//! People care for the time from a task's end until the gateway knows of it. The budget buys looks, and a look is worth
//! most where the end is likely. So the pacer learns how long tasks take, by route and by the model that answers name,
//! and plans the next look where the expected undetected delay reaches the [`price`] of a request: the discrete form of
//! the inspection intervals of Barlow, Hunter and Proschan (1963) and Keller (1974). It only sets the time at which a
//! task is due; the queue, the turns of the clients and the budget stay as they are.
//!
//! [`hazard`] counts by [`bins`] of age, [`clocks`] are what the age may be counted from, [`models`] bounds what is
//! remembered, and [`estimate`] tells people. [`interval`] is the rule without learning. All of it is pure: the time is
//! an argument, and nothing is random but the seed of a hash.

mod bins;
mod clocks;
mod estimate;
mod figures;
mod hazard;
mod interval;
mod models;
mod price;
#[cfg(test)]
mod tests;

use tokio::time::{Duration, Instant};

pub use self::clocks::{CLOCK_NAMES, Track};
use self::clocks::{CLOCKS, Kind, Shown};
pub use self::estimate::{Estimate, Told};
pub use self::figures::{Curve, RouteFigures};
pub use self::interval::Pacing;
use self::models::{Learnt, ModelId, Models, hazard};
pub use self::models::{MOST_MODELS, MOST_NAME};
pub use self::price::Load;
use self::price::{Price, Prices};
use super::grant::Client;
use super::snapshot::{Phase, Snapshot};

/// The number of ends that a model's table remembers.
pub const MEMORY: f32 = 200.0;
/// A route's table remembers so many times as many as a model's.
const ROUTE_MEMORY: f32 = 4.0;
/// The longest wait, in mean intervals: what has changed is seen so soon.
const MOST_INTERVALS: f64 = 4.0;
/// The longest wait in seconds, whatever the budget.
const LONGEST: f64 = 86_400.0;
/// A task that is over when it is first looked at tells its duration only so soon after its creation, in seconds.
const SEEN_WHOLE: f64 = 5.0;
/// A model chooses its clock by itself after so many ends, and as its route does before.
const OWN_CLOCK: u32 = 10;
/// The most clients of a task whose prices are compared for one look.
const COMPARED: usize = 64;

/// Plans the looks.
#[derive(Debug)]
pub struct Pacer {
    pacing: Pacing,
    /// `None`: the interval depends on the age alone.
    learning: Option<Learning>,
}

#[derive(Debug)]
struct Learning {
    routes: Vec<(Learnt, RouteFigures)>,
    models: Models,
    prices: Prices,
    /// The part of a model's table that one end makes it forget.
    forget: f32,
}

/// When a live task is looked at again.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The wait until it is due.
    pub wait: Duration,
    /// The time for which the state is fresh, for clients that ask.
    pub fresh_for: Duration,
    /// What is remembered of the task until then.
    pub track: Option<Box<Track>>,
}

/// One look at a task, and what was known of the task before.
#[derive(Debug, Clone, Copy)]
pub struct Look<'l> {
    /// The number of the task's route.
    pub route: usize,
    /// The time of the gateway's first answer about it.
    pub first_seen: Instant,
    /// What was known of it.
    pub before: Before<'l>,
    /// The answer.
    pub snapshot: &'l Snapshot,
}

/// What was known of a task before a look.
#[derive(Debug, Clone, Copy)]
pub enum Before<'l> {
    /// Nothing: it is the first look, as far as is known.
    Nothing,
    /// It ran.
    Running {
        /// What is remembered of it.
        track: &'l Track,
        /// Its status word.
        word: Option<&'l str>,
    },
    /// It was over.
    Over,
}

impl<'l> Before<'l> {
    fn track(self) -> Option<&'l Track> {
        match self {
            Self::Running { track, .. } => Some(track),
            Self::Nothing | Self::Over => None,
        }
    }
}

/// The client whose price plans a look.
#[derive(Debug, Clone, Copy)]
struct Payer<'c> {
    client: Option<&'c Client>,
    price: Price,
}

impl Pacer {
    /// A pacer that does not learn: the interval depends on the age of a task alone.
    pub fn fixed(pacing: Pacing) -> Self {
        Self { pacing, learning: None }
    }

    /// A pacer that learns. A model's table remembers about `memory` ends ([`MEMORY`]), and the prices of at most
    /// `max_clients` clients are remembered.
    pub fn learning(pacing: Pacing, memory: f32, max_clients: usize, now: Instant) -> Self {
        let learning = Learning {
            routes: Vec::new(),
            models: Models::default(),
            prices: Prices::new(max_clients, now),
            forget: 1.0 / memory.max(1.0),
        };
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
        learning.prices.spent(now);
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

    /// Whether the budget is short for a client: its tasks cannot all be looked at every `max_interval`.
    pub fn is_short(&self, client: &Client, load: Load, now: Instant) -> bool {
        let Some(learning) = &self.learning else { return false };
        is_short(learning.prices.of(client, load, now), &self.pacing)
    }
}

fn is_short(price: Price, pacing: &Pacing) -> bool {
    price.interval > pacing.max_interval.as_secs_f64()
}

impl Payer<'_> {
    /// Nobody wants the task any more, or nobody is known: a request costs nothing.
    const ANYBODY: Self = Self { client: None, price: Price::LEAST };
}

impl Learning {
    /// The model of the task, by this answer or by the one before.
    fn model(&mut self, look: Look<'_>) -> Option<ModelId> {
        let name = look.snapshot.hints.as_ref().and_then(|hints| hints.model.as_deref());
        let known = look.before.track().and_then(|track| track.model);
        name.map(|name| self.models.id(look.route, name)).or(known)
    }

    fn route(&mut self, route: usize) -> &mut (Learnt, RouteFigures) {
        if self.routes.len() <= route {
            self.routes.resize_with(route + 1, Default::default);
        }
        &mut self.routes[route]
    }

    /// Learns what a look has found.
    fn learn(&mut self, look: Look<'_>, model: Option<ModelId>, price: Price) {
        let now = look.snapshot.fetched;
        let is_over = look.snapshot.phase == Phase::Terminal;
        // Of a task that is new, only the whole duration tells something.
        let newborn;
        let known = look.before.track();
        let track = if let Some(track) = known {
            track
        } else {
            newborn = Track::after(None, model, look.first_seen, None, look.snapshot);
            &newborn
        };
        let mut clocks = track.clocks(now);
        if known.is_none() {
            let whole = clocks[0].filter(|age| is_over && age.kind == Kind::Created && age.to <= SEEN_WHOLE);
            if whole.is_none() {
                return;
            }
            clocks = [whole.map(|age| Shown { from: 0.0, ..age }), None, None];
        }
        let gap = now.saturating_duration_since(track.running()).as_secs_f64();
        let forget = self.forget;
        let mut likelihoods = [None; CLOCKS];
        for (clock, shown) in clocks.iter().enumerate() {
            let Some(Shown { kind, from, to, unit }) = *shown else { continue };
            let in_force = {
                let route = self.routes.get(look.route).map(|(learnt, _)| learnt);
                hazard(self.models.get(model), route, kind)
            };
            if let Some(likelihood) = likelihoods.get_mut(clock) {
                *likelihood = Some(in_force.log_likelihood(from, to, is_over));
            }
            let expected = in_force.between(from, to);
            let spread = is_over.then(|| in_force.spread(from, to));
            if clock == track.planned_by {
                let (_, figures) = self.route(look.route);
                figures.note(expected, spread.as_ref().map(|spread| spread.delay * unit));
            }
            let (route, _) = self.route(look.route);
            note(route, kind, false, from, to, spread.as_ref(), forget / ROUTE_MEMORY);
            if let Some(model) = self.models.get_mut(model) {
                note(model, kind, true, from, to, spread.as_ref(), forget);
            }
        }
        let (route, figures) = self.route(look.route);
        if known.is_some() {
            figures.gap(gap / price.interval);
        }
        route.score(likelihoods);
        route.ends = route.ends.saturating_add(u32::from(is_over));
        if let Some(model) = self.models.get_mut(model) {
            model.score(likelihoods);
            model.ends = model.ends.saturating_add(u32::from(is_over));
        }
    }

    /// Plans the next look at a task that runs.
    fn plan(&mut self, look: Look<'_>, model: Option<ModelId>, payer: Payer<'_>, pacing: &Pacing) -> Plan {
        let now = look.snapshot.fetched;
        let word = match look.before {
            Before::Running { word, .. } => word,
            Before::Nothing | Before::Over => None,
        };
        let mut track =
            Box::new(Track::after(look.before.track(), model, look.first_seen, word, look.snapshot));
        let route = self.routes.get(look.route).map(|(learnt, _)| learnt);
        let learnt = self.models.get(track.model);
        let clocks = track.clocks(now);
        let guide = learnt.filter(|learnt| learnt.ends >= OWN_CLOCK).or(route);
        let best = guide.map_or(0, |guide| guide.best(&clocks));
        let price = payer.price;
        let most = if is_short(price, pacing) {
            (MOST_INTERVALS * price.interval).min(LONGEST)
        } else {
            pacing.max_interval.as_secs_f64()
        };
        let least = pacing.fresh_for.as_secs_f64();
        let mut wait = most;
        if let Some(Shown { kind, to, unit, .. }) = clocks.get(best).copied().flatten() {
            let in_force = hazard(learnt, route, kind);
            wait = in_force.wait(to, price.cost / unit, most / unit) * unit;
            let ends = learnt.or(route).map_or(0, |learnt| learnt.ends);
            track.estimate = Estimate::of(in_force, ends, to, unit, track.estimate.as_ref(), now);
        }
        let wait = wait.min(most).max(least);
        track.planned_by = best;
        if let Some(client) = payer.client {
            self.prices.planned(client, price, wait);
        }
        let (_, figures) = self.route(look.route);
        figures.planned(best, price.cost);
        let wait = Duration::from_secs_f64(wait);
        Plan { wait, fresh_for: wait.min(pacing.max_interval), track: Some(track) }
    }
}

fn note(
    learnt: &mut Learnt,
    kind: Kind,
    is_model: bool,
    from: f64,
    to: f64,
    spread: Option<&hazard::Spread>,
    forget: f32,
) {
    let Some(table) = learnt.table_mut(kind, is_model) else { return };
    match spread {
        Some(spread) => table.ended(spread, forget),
        None => table.survived(from, to),
    }
}
