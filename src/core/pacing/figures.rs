//! Owns the figures of the pacing for operators: whether it foretells well, and what it has learnt.

use super::clocks::{CLOCKS, Kind};
use super::models::{Learnt, hazard};
use super::{Learning, Pacer};

/// The part of the longest gap that is left after another look: what happened an hour ago matters no more.
const GAP_KEPT: f64 = 0.9995;
/// The points of a curve.
const POINTS: u32 = 40;
/// A curve ends where so little is left.
const SHOWN_LEFT: f64 = 0.03;

/// The figures of one route since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteFigures {
    /// The ends that the learnt durations let expect in the looks made.
    pub expected: f64,
    /// The ends found.
    pub found: u64,
    /// The sum of the delays from end to look, as estimated, in seconds.
    pub delay: f64,
    /// The last price, in seconds of undetected delay.
    pub price: f64,
    /// The longest recent time between two looks at a task, in mean intervals of its client.
    pub longest_gap: f64,
    /// The looks that each clock has planned.
    pub planned: [u64; CLOCKS],
}

impl RouteFigures {
    pub(super) fn note(&mut self, expected: f64, found_after: Option<f64>) {
        // No task ends more than once.
        self.expected += -(-expected).exp_m1();
        if let Some(delay) = found_after {
            self.found += 1;
            self.delay += delay;
        }
    }

    pub(super) fn gap(&mut self, intervals: f64) {
        self.longest_gap = (self.longest_gap * GAP_KEPT).max(intervals.min(1e6));
    }

    pub(super) fn planned(&mut self, clock: usize, price: f64) {
        self.price = price;
        if let Some(count) = self.planned.get_mut(clock) {
            *count += 1;
        }
    }
}

/// What was learnt of one model: the part of its tasks that still runs, by age.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The number of the route.
    pub route: usize,
    /// The model's name as the upstream tells it, cut; empty for all tasks of a route.
    pub model: Box<str>,
    /// The ends found.
    pub ends: u32,
    /// The age of the last point, in seconds.
    pub span: f64,
    /// The part that still runs at evenly spaced ages, from 1 at age 0 on.
    pub alive: Vec<f64>,
}

impl Pacer {
    /// The figures of each route, in the order of the routes. Empty unless the pacer learns.
    pub fn figures(&self) -> Vec<RouteFigures> {
        let routes = self.learning.as_ref().map(|learning| &learning.routes);
        routes.into_iter().flatten().map(|(_, figures)| *figures).collect()
    }

    /// The curves of the models with the most ends, at most so many.
    pub fn curves(&self, most: usize) -> Vec<Curve> {
        let Some(learning) = &self.learning else { return Vec::new() };
        let models = learning.models.iter().map(|model| (model.route, &*model.name, &model.learnt));
        let routes = learning.routes.iter().enumerate().map(|(route, (learnt, _))| (route, "", learnt));
        let mut busiest: Vec<_> = models.chain(routes).filter(|(_, _, learnt)| learnt.ends > 0).collect();
        busiest.sort_by_key(|(_, name, learnt)| (name.is_empty(), std::cmp::Reverse(learnt.ends)));
        busiest.into_iter().take(most).filter_map(|of| learning.curve(of)).collect()
    }
}

impl Learning {
    fn curve(&self, (route, model, learnt): (usize, &str, &Learnt)) -> Option<Curve> {
        let kind = [Kind::Created, Kind::Seen].into_iter().find(|kind| learnt.table(*kind).is_some())?;
        let in_force = hazard(Some(learnt), self.routes.get(route).map(|(learnt, _)| learnt), kind);
        let span = in_force.remaining(0.0, SHOWN_LEFT).unwrap_or(8192.0).max(1.0);
        let age = |point: u32| span * f64::from(point) / f64::from(POINTS);
        let alive = (0..=POINTS).map(|point| (-in_force.between(0.0, age(point))).exp()).collect();
        Some(Curve { route, model: model.into(), ends: learnt.ends, span, alive })
    }
}
