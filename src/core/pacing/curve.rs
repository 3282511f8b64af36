//! Owns the curve of a model, which shows operators what was learnt of it.

use super::clocks::Kind;
use super::models::{Learnt, hazard};

/// The points of a curve.
const POINTS: u32 = 40;
/// A curve ends where so little is left.
const SHOWN_LEFT: f64 = 0.03;

/// The survival curve of one model, as learnt: the part of its tasks that still runs, by age.
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

impl Curve {
    /// The curve of a model, or of a whole route if the name is empty. `None`: nothing was learnt by age.
    pub(super) fn of(route: usize, model: &str, learnt: &Learnt, of_route: Option<&Learnt>) -> Option<Self> {
        let kind = [Kind::Created, Kind::Seen].into_iter().find(|kind| learnt.table(*kind).is_some())?;
        let in_force = hazard(Some(learnt), of_route, kind);
        let span = in_force.remaining(0.0, SHOWN_LEFT).unwrap_or(8192.0).max(1.0);
        let age = |point: u32| span * f64::from(point) / f64::from(POINTS);
        let alive = (0..=POINTS).map(|point| (-in_force.between(0.0, age(point))).exp()).collect();
        Some(Self { route, model: model.into(), ends: learnt.ends, span, alive })
    }
}
