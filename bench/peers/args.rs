//! Owns the arguments of the benchmark: parts, rounds and durations.

use std::time::Duration;

use crate::Failure;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Hits,
    Waiters,
    Crowd,
    Outage,
    Misses,
    Memory,
    Contents,
    Push,
}

/// The arguments.
#[derive(Debug)]
pub struct Args {
    pub parts: Vec<Part>,
    /// A short run that only shows that everything works.
    pub quick: bool,
    /// `true`: the tables are written to docs/performance.md and README.md.
    pub write: bool,
    pub rounds: usize,
    /// The number of tasks that the caches keep in the memory part.
    pub tasks: usize,
    /// The duration of the crowd's polls.
    pub seconds: u64,
}

const ALL: [(&str, Part); 8] = [
    ("hits", Part::Hits),
    ("waiters", Part::Waiters),
    ("crowd", Part::Crowd),
    ("outage", Part::Outage),
    ("misses", Part::Misses),
    ("memory", Part::Memory),
    ("contents", Part::Contents),
    ("push", Part::Push),
];

impl Args {
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let quick = words.iter().any(|word| word == "quick");
        let mut args = Self {
            parts: Vec::new(),
            quick,
            write: false,
            rounds: if quick { 1 } else { 5 },
            tasks: if quick { 10_000 } else { 100_000 },
            seconds: if quick { 6 } else { 30 },
        };
        for word in words {
            match (word.as_str(), word.split_once('=')) {
                ("quick", _) => {}
                ("write" | "--write", _) => args.write = true,
                (_, Some(("rounds", number))) => args.rounds = number.parse::<usize>()?.max(1),
                (_, Some(("tasks", number))) => args.tasks = number.parse::<usize>()?.max(1),
                (_, Some(("seconds", number))) => args.seconds = number.parse::<u64>()?.clamp(2, 600),
                (word, _) => {
                    let part = ALL.iter().find(|(name, _)| *name == word).map(|(_, part)| *part);
                    let names = ALL.map(|(name, _)| name).join(", ");
                    args.parts.push(part.ok_or(format!(
                        "{word:?} is none of: quick, write, rounds=N, tasks=N, seconds=N, {names}"
                    ))?);
                }
            }
        }
        if args.parts.is_empty() {
            args.parts = ALL.map(|(_, part)| part).to_vec();
        }
        if args.write && (args.quick || args.parts.len() < ALL.len()) {
            return Err("the page shows whole runs: `write` goes neither with `quick` nor with parts".into());
        }
        Ok(args)
    }

    /// `full`, or `quick` in a quick run.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The number of rounds for the crowd: fewer, as they are long and differ little.
    pub fn long_rounds(&self) -> usize {
        self.rounds.min(3)
    }

    pub fn time(&self, full: u64, quick: u64) -> Duration {
        Duration::from_secs(self.pick(full, quick))
    }
}

impl Part {
    /// The approximate duration, for the user who waits.
    pub fn takes(self, args: &Args) -> String {
        let rounds = args.rounds as u64;
        let seconds = match self {
            Self::Hits => 2 * 7 * rounds * args.pick(6, 1),
            Self::Waiters => 2 * 6 * rounds * args.pick(4, 1),
            Self::Crowd => args.long_rounds() as u64 * (args.seconds + 5),
            Self::Outage => args.pick(40, 15),
            Self::Misses => 6 * rounds * args.pick(2, 1),
            Self::Contents => 6 * rounds,
            Self::Push => rounds * args.pick(360, 60),
            Self::Memory => 4 * (args.tasks as u64 / 5000) + 10,
        };
        format!("about {seconds} s")
    }
}
