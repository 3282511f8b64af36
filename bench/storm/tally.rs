//! Owns the figures of one storm, and their row in the table.

use std::fmt;

/// The figures of one storm.
#[derive(Debug, Default)]
pub struct Tally {
    pub name: String,
    /// Requests of the clients.
    pub polls: u64,
    /// Polls without a state: answered by an error with `Retry-After`.
    pub refused: u64,
    /// Requests that reached the upstream.
    pub upstream: u64,
    /// Requests that the upstream refused by its rate limit.
    pub too_many: u64,
    /// Requests that the budget allowed in this time.
    pub allowed: f64,
    /// Tasks divided by the rate, in seconds: no schedule can refresh all of them more often.
    pub ideal_s: f64,
    /// Ages of the states handed out after the first round, in milliseconds.
    pub ages: Vec<u32>,
}

impl Tally {
    pub const HEAD: &str = "\
| storm | polls by the clients | upstream requests | upstream 429s | budget used | state age p50 | p99 | ideal (tasks / rate) | p99 / ideal | polls refused |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|";
    pub const FOOT: &str = "\
Polls by the clients: what they would have sent upstream themselves. State age: at hand-out, once every task
was known. Budget used: of share × requests_per_minute, plus the burst.";

    fn age(&self, part: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (self.ages.len() as f64 * part) as usize;
        self.ages
            .get(index.min(self.ages.len().saturating_sub(1)))
            .map_or(f64::NAN, |age| f64::from(*age) / 1000.0)
    }

    /// Sorts the ages, before the tally is shown.
    pub fn finished(mut self) -> Self {
        self.ages.sort_unstable();
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {} | {:.1} % | {:.1} s | {:.1} s | {:.1} s | {:.2} | {:.2} % |",
            self.name,
            self.polls,
            self.upstream,
            self.too_many,
            100.0 * self.upstream as f64 / self.allowed,
            self.age(0.5),
            self.age(0.99),
            self.ideal_s,
            self.age(0.99) / self.ideal_s,
            100.0 * self.refused as f64 / self.polls as f64,
        )
    }
}
