//! Owns the hazard table: how often tasks have ended at each age, among those that ran at that age.
//!
//! A look finds a task running or over. The time between two looks that found it running was survived; an end lies
//! somewhere between the last look and the one that found it. So tasks that are seen late, and those whose watchers
//! leave, are counted right (left truncation and right censoring).

use super::bins::{self, BINS, pieces};

/// The part of an end that is spread evenly over the time in which it lies; the rest follows the rates in force.
const EVENLY: f64 = 0.05;
/// The weight of the parent's rate, in widths of a bin.
const PRIOR_WEIGHT: f64 = 2.0;
/// The age of a task of which nothing is known tells that it lasts about as long again, and so many seconds.
const PRIOR_SECONDS: f64 = 20.0;

/// The looks at one kind of tasks, counted by age. f32 is exact enough, and halves the memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Ends.
    ended: [f32; BINS],
    /// Seconds in which a task ran.
    exposed: [f32; BINS],
    /// The ends found, forgotten ones included.
    pub(super) found: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { ended: [0.0; BINS], exposed: [0.0; BINS], found: 0 }
    }
}

/// An end between two looks, spread over the bins between them.
#[derive(Debug)]
pub(super) struct Spread {
    /// For each bin from the first on: the part of the end, and the seconds that the task ran.
    parts: [(f32, f32); BINS],
    first: usize,
    past: usize,
    /// The expected time from the end to the look that found it, in seconds.
    pub(super) delay: f64,
}

impl Table {
    /// A task ran at both ages.
    pub(super) fn survived(&mut self, from: f64, to: f64) {
        for piece in pieces(from, to) {
            if let Some(exposed) = self.exposed.get_mut(piece.bin) {
                add(exposed, piece.width);
            }
        }
    }

    /// A task has ended. What was seen before loses the part `forget` of its weight.
    pub(super) fn ended(&mut self, spread: &Spread, forget: f32) {
        let keep = 1.0 - forget;
        for value in self.ended.iter_mut().chain(&mut self.exposed) {
            *value *= keep;
        }
        let bins = self.ended.iter_mut().zip(&mut self.exposed).zip(&spread.parts);
        for ((ended, exposed), (part, ran)) in bins.take(spread.past).skip(spread.first) {
            *ended += part;
            *exposed += ran;
        }
        self.found = self.found.saturating_add(1);
    }

    fn rate(&self, bin: usize, parent: f64) -> f64 {
        let at = |values: &[f32; BINS]| values.get(bin).copied().map_or(0.0, f64::from);
        let weight = PRIOR_WEIGHT * bins::width(bin);
        (at(&self.ended) + weight * parent) / (at(&self.exposed) + weight)
    }
}

/// Adds seconds, up to a bound that no sum can overflow.
fn add(sum: &mut f32, seconds: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "f32 is exact enough")]
    let seconds = seconds as f32;
    *sum = (*sum + seconds).min(1e30);
}

/// The hazard in force: a model's table leans on its route's, and that on a prior.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hazard<'t> {
    /// `None`: nothing was seen of the model, or it is unknown.
    pub(super) model: Option<&'t Table>,
    /// `None`: nothing was seen of the route.
    pub(super) route: Option<&'t Table>,
}

impl Hazard<'_> {
    /// Ends a second in one bin. Always above zero.
    fn rate(&self, bin: usize) -> f64 {
        let prior = 1.0 / (bins::middle(bin) + PRIOR_SECONDS);
        let of_route = self.route.map_or(prior, |table| table.rate(bin, prior));
        self.model.map_or(of_route, |table| table.rate(bin, of_route)).max(1e-9)
    }

    /// The ends to expect of a task from one age to another, if it could end more than once: minus the logarithm of
    /// the part that survives.
    pub(super) fn between(&self, from: f64, to: f64) -> f64 {
        pieces(from, to).map(|piece| self.rate(piece.bin) * piece.width).sum()
    }

    /// The logarithm of the likelihood of one look: that a task that ran at one age was over, or not, at the other.
    pub(super) fn log_likelihood(&self, from: f64, to: f64, is_over: bool) -> f64 {
        let expected = self.between(from, to).max(1e-12);
        if is_over { (-(-expected).exp_m1()).ln() } else { -expected }
    }

    /// The shortest wait, of at most `most`, in which a task that runs at `age` collects the expected undetected delay
    /// `cost`: D(a, x) = ∫₀ˣ [F(a+u) − F(a)] / S(a) du. All in the unit of the age.
    pub(super) fn wait(&self, age: f64, cost: f64, most: f64) -> f64 {
        let (mut waited, mut collected, mut alive) = (0.0, 0.0, 1.0);
        for piece in pieces(age, age + most) {
            let rate = self.rate(piece.bin);
            let whole = delay(alive, rate, piece.width);
            if collected + whole >= cost {
                return (waited + within(alive, rate, piece.width, cost - collected)).min(most);
            }
            collected += whole;
            waited += piece.width;
            alive *= (-rate * piece.width).exp();
        }
        most
    }

    /// The time after which only the part `left` of the tasks that run at `age` still runs. `None` where that is after
    /// the last bin has begun, of which nothing is known.
    pub(super) fn remaining(&self, age: f64, left: f64) -> Option<f64> {
        let (mut waited, mut missing) = (0.0, -left.ln());
        for piece in pieces(age, bins::start(BINS - 1)) {
            let rate = self.rate(piece.bin);
            if rate * piece.width >= missing {
                return Some(waited + missing / rate);
            }
            missing -= rate * piece.width;
            waited += piece.width;
        }
        None
    }

    /// Spreads an end that lies between two ages by the rates in force.
    pub(super) fn spread(&self, from: f64, to: f64) -> Spread {
        let to = if to > from { to } else { from + 1e-3 };
        let span = to - from;
        let (mut alive, mut total) = (1.0, 0.0);
        let mut parts = [(0.0, 0.0); BINS];
        let mut sums = [(0.0, 0.0); BINS];
        for piece in pieces(from, to) {
            let before = alive;
            alive *= (-self.rate(piece.bin) * piece.width).exp();
            total += before - alive;
            if let Some(sum) = sums.get_mut(piece.bin) {
                *sum = (before - alive, piece.width);
            }
        }
        let (first, mut past) = (bins::of(from), 0);
        let (mut rest, mut ran) = (1.0, 0.0);
        for (bin, ((ends, width), part)) in sums.iter().zip(&mut parts).enumerate() {
            if *width <= 0.0 {
                continue;
            }
            past = bin + 1;
            let even = width / span;
            let share = if total > 1e-12 { (1.0 - EVENLY) * ends / total + EVENLY * even } else { even };
            rest = f64::max(rest - share, 0.0);
            let seconds = width * (rest + share / 2.0);
            ran += seconds;
            #[expect(clippy::cast_possible_truncation, reason = "f32 is exact enough")]
            let narrow = (share as f32, seconds as f32);
            *part = narrow;
        }
        Spread { parts, first, past, delay: (span - ran).max(0.0) }
    }
}

/// The delay that a wait collects at a steady rate, if `alive` of the tasks run at its start.
fn delay(alive: f64, rate: f64, wait: f64) -> f64 {
    let ended = -(-rate * wait).exp_m1();
    (wait - alive * ended / rate).max(0.0)
}

/// The wait, of at most `width`, that collects `cost` at a steady rate.
fn within(alive: f64, rate: f64, width: f64, cost: f64) -> f64 {
    // At least z²/(z + 2) is collected, in units of 1/rate; so this is too long, and Newton's steps only shorten it.
    let ends = rate * cost;
    let mut wait = (f64::midpoint(ends, (ends * (ends + 8.0)).sqrt()) / rate).min(width);
    for _ in 0..5 {
        let slope = 1.0 - alive * (-rate * wait).exp();
        if slope <= 1e-12 {
            break;
        }
        wait -= ((delay(alive, rate, wait) - cost) / slope).max(0.0);
    }
    wait.clamp(0.0, width)
}
