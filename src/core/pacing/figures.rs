//! Owns the figures of the pacing for operators: whether it foretells well.

use super::clocks::CLOCKS;

/// The part of the longest gap that is left after another look: what happened an hour ago matters no more.
const GAP_KEPT: f64 = 0.9995;

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
    /// The longest recent time between two looks at a task while the budget was short, in mean intervals of its client.
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
