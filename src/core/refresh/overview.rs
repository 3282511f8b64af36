//! Owns the figures of the core at one moment.

use tokio::time::{Duration, Instant};

use super::coordinator::Coordinator;
use super::counters::CoreCounters;
use super::recent_requests::RecentRequests;
use crate::core::pacing::{Curve, RouteFigures};
use crate::core::store::Fill;

/// The core's figures at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Overview<'m> {
    /// The sizes of the tables of interest.
    pub census: Census,
    /// Tasks with interest that are not due yet.
    pub waiting: usize,
    /// Tasks that are due, and wait for the budget or the gate.
    pub due: usize,
    /// The time that due tasks wait for their turn.
    pub lag: Duration,
    /// The fill of the store: that of known states, and that of missing ones.
    pub memory: [Fill; 2],
    /// The counters since the start.
    pub counters: &'m CoreCounters,
    /// The latest upstream requests.
    pub recent_requests: &'m RecentRequests,
}

/// The figures of the pacing: how well it foretells, and its curves.
#[derive(Debug, Clone, Default)]
pub struct PacingOverview {
    /// The template of each route with a look, and its figures. Empty unless the pacing learns.
    pub routes: Vec<(Box<str>, RouteFigures)>,
    /// The curves of the models with the most ends, each with the template of its route.
    pub curves: Vec<(Box<str>, Curve)>,
}

/// The sizes of the tables of interest: all zero once no client has interest and no flight is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Tasks with interest, or in flight.
    pub tasks: usize,
    /// Pictures, one for each of these tasks.
    pub pictures: usize,
    /// Interest that lingers after its client has disconnected.
    pub lingering: usize,
}

impl Coordinator {
    /// Reads the figures of the pacing, and at most so many curves.
    pub(in crate::core) fn pacing(&self, most_curves: usize) -> PacingOverview {
        let (figures, curves) = {
            let book = self.book();
            (book.pacer.figures(), book.pacer.curves(most_curves))
        };
        let templates: Vec<Box<str>> = self.routes.iter().map(|route| route.template().into()).collect();
        let of = |curve: Curve| Some((templates.get(curve.route)?.clone(), curve));
        let curves = curves.into_iter().filter_map(of).collect();
        let looked = |(_, figures): &(Box<str>, RouteFigures)| figures.planned.iter().sum::<u64>() > 0;
        PacingOverview { routes: templates.iter().cloned().zip(figures).filter(looked).collect(), curves }
    }

    /// Reads all figures; those of the book under one lock. Walks over all tasks with interest.
    pub(in crate::core) fn overview(&self) -> Overview<'_> {
        let (census, queued, due) = {
            let book = self.book();
            let census = Census {
                tasks: book.schedule.len(),
                pictures: book.pictures.len(),
                lingering: book.schedule.lingering(),
            };
            let (queued, due) = book.schedule.backlog(Instant::now());
            (census, queued, due)
        };
        Overview {
            census,
            waiting: queued - due,
            due,
            lag: self.lag(),
            memory: self.store.fill(),
            counters: &self.counters,
            recent_requests: &self.recent_requests,
        }
    }
}
