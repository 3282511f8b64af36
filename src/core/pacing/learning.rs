//! Owns the learning: what a look teaches, and which wait it leads to.

use tokio::time::Duration;

use super::clocks::{CLOCKS, Kind, Shown, Track};
use super::curve::Curve;
use super::estimate::Estimate;
use super::figures::RouteFigures;
use super::hazard::Spread;
use super::interval::Pacing;
use super::look::{Before, Look, Plan};
use super::model_id::ModelId;
use super::models::{Learnt, Models, hazard};
use super::price::{LONGEST, Price, Prices};
use crate::core::grant::Client;
use crate::core::snapshot::Phase;

/// A route's table remembers so many times as many as a model's.
const ROUTE_MEMORY: f32 = 4.0;
/// The longest wait, in mean intervals: what has changed is seen so soon.
const MOST_INTERVALS: f64 = 4.0;
/// A task that is over when it is first looked at tells its duration only so soon after its creation, in seconds.
const SEEN_WHOLE: f64 = 5.0;
/// A model chooses its clock by itself after so many ends, and as its route does before.
const OWN_CLOCK: u32 = 10;

/// All that the pacing has learnt, and the prices.
#[derive(Debug)]
pub(super) struct Learning {
    pub(super) routes: Vec<(Learnt, RouteFigures)>,
    pub(super) models: Models,
    pub(super) prices: Prices,
    /// The part of a model's table that one end makes it forget.
    forget: f32,
}

/// The client whose price plans a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payer<'c> {
    pub(super) client: Option<&'c Client>,
    pub(super) price: Price,
}

impl Payer<'_> {
    /// Nobody wants the task any more, or nobody is known: a request costs nothing.
    pub(super) const ANYBODY: Self = Self { client: None, price: Price::LEAST };
}

impl Learning {
    /// Nothing was learnt yet. A model's table remembers about `memory` ends.
    pub(super) fn new(memory: f32, max_clients: usize) -> Self {
        Self {
            routes: Vec::new(),
            models: Models::default(),
            prices: Prices::new(max_clients),
            forget: 1.0 / memory.max(1.0),
        }
    }

    /// The model of the task, by this answer or by the one before.
    pub(super) fn model(&mut self, look: Look<'_>) -> Option<ModelId> {
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
    pub(super) fn learn(&mut self, look: Look<'_>, model: Option<ModelId>, price: Price) {
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
        if known.is_some() && !price.is_least() {
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
    pub(super) fn plan(
        &mut self,
        look: Look<'_>,
        model: Option<ModelId>,
        payer: Payer<'_>,
        pacing: &Pacing,
    ) -> Plan {
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
        let longest = pacing.max_interval.as_secs_f64();
        let most = if price.is_short(pacing.max_interval) {
            (MOST_INTERVALS * price.interval).min(LONGEST).max(longest)
        } else {
            longest
        };
        let least = pacing.fresh_for.as_secs_f64();
        let mut wait = most;
        if let Some(Shown { kind, to, unit, .. }) = clocks.get(best).copied().flatten() {
            let in_force = hazard(learnt, route, kind);
            wait = in_force.wait(to, price.cost / unit, most / unit) * unit;
            let found = learnt.or(route).and_then(|learnt| learnt.table(kind)).map_or(0, |table| table.found);
            track.estimate = Estimate::of(in_force, found, (to, unit), &mut track.last_told, now);
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

    /// The curve of a model, or of a route.
    pub(super) fn curve(&self, (route, model, learnt): (usize, &str, &Learnt)) -> Option<Curve> {
        let of_route = self.routes.get(route).map(|(learnt, _)| learnt);
        Curve::of(route, model, learnt, of_route)
    }
}

fn note(
    learnt: &mut Learnt,
    kind: Kind,
    is_model: bool,
    from: f64,
    to: f64,
    spread: Option<&Spread>,
    forget: f32,
) {
    let Some(table) = learnt.table_mut(kind, is_model, spread.is_some()) else { return };
    match spread {
        Some(spread) => table.ended(spread, forget),
        None => table.survived(from, to),
    }
}
