//! Owns clients that poll once a second and ignore `Retry-After`, and the record of their polls.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, timeout};

use crate::client::{Connection, Door};
use crate::figure::part;
use crate::script::wall_micros;

const EVERY: Duration = Duration::from_secs(1);
/// The longest wait of a client for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub clients: u32,
    pub tasks: u32,
    /// No poll begins later than this after the start.
    pub time: Duration,
}

/// All polls and their answers.
#[derive(Debug)]
pub struct Seen {
    /// The start, in microseconds of the wall clock.
    begun: u64,
    time: Duration,
    /// The polls of each client, in their args.
    clients: Vec<Vec<Poll>>,
}

/// The states that the clients hold, sampled once a second.
#[derive(Debug)]
pub struct Held {
    /// The age of the state in each sample, in seconds.
    pub ages: Vec<f64>,
    /// The part of the samples in which a client had no state yet.
    pub nothing: f64,
}

#[derive(Debug, Clone, Copy)]
struct Poll {
    /// The status code; 0 is no answer.
    status: u16,
    took: Duration,
    /// The end, in microseconds of the wall clock.
    ended: u64,
    /// The time at which the origin made the state, on the same clock; `None` without a state.
    made: Option<u64>,
}

impl Crowd {
    pub async fn poll(self, door: Door) -> Seen {
        let (start, begun) = (Instant::now(), wall_micros());
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let path = format!("/v1/tasks/live-{}", number % self.tasks);
            // The clients start at different times within the first second.
            clients.spawn(client(door, path, start + EVERY * number / self.clients, start + self.time));
        }
        Seen { begun, time: self.time, clients: clients.join_all().await }
    }
}

async fn client(door: Door, path: String, first: Instant, end: Instant) -> Vec<Poll> {
    let mut polls = Vec::new();
    let mut connection = None;
    let mut ticks = interval_at(first, EVERY);
    // A client that waited for more than a second polls again at once, and then every second.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        if asked >= end {
            return polls;
        }
        let ask = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(door).await?,
            };
            let answer = open.get(&path).await?;
            connection = answer.goes_on().then_some(open);
            std::io::Result::Ok(answer)
        };
        let answer = timeout(PATIENCE, ask).await.ok().and_then(Result::ok);
        let state = answer.as_ref().filter(|answer| answer.status == 200);
        polls.push(Poll {
            made: state.and_then(|answer| answer.number("at")),
            status: answer.map_or(0, |answer| answer.status),
            took: asked.elapsed(),
            ended: wall_micros(),
        });
    }
}

impl Seen {
    fn all(&self) -> impl Iterator<Item = &Poll> {
        self.clients.iter().flatten()
    }

    pub fn polls(&self) -> usize {
        self.all().count()
    }

    pub fn errors(&self) -> usize {
        self.all().filter(|poll| poll.status != 200).count()
    }

    /// Errors in the second half of the time.
    pub fn late_errors(&self) -> usize {
        let half = self.begun + micros(self.time / 2);
        self.all().filter(|poll| poll.status != 200 && poll.ended > half).count()
    }

    /// Each second, for each client, the age of its last state. The ages of the answers alone would favour a
    /// subject that answers few polls, or lets clients wait.
    pub fn held(&self) -> Held {
        let (mut ages, mut looks, mut nothing) = (Vec::new(), 0_u32, 0_u32);
        for polls in &self.clients {
            for second in 1..=self.time.as_secs() {
                let now = self.begun + micros(Duration::from_secs(second));
                let last =
                    polls.iter().filter(|poll| poll.ended <= now).filter_map(|poll| poll.made).next_back();
                looks += 1;
                match last {
                    Some(made) => ages.push(now.saturating_sub(made) as f64 / 1e6),
                    None => nothing += 1,
                }
            }
        }
        Held { ages, nothing: f64::from(nothing) / f64::from(looks.max(1)) }
    }

    /// The number of answers by status code, with median and longest duration.
    pub fn told(&self) -> String {
        let mut by_status: BTreeMap<u16, Vec<f64>> = BTreeMap::new();
        for poll in self.all() {
            by_status.entry(poll.status).or_default().push(poll.took.as_secs_f64() * 1e3);
        }
        let told = by_status.iter_mut().map(|(status, times)| {
            let name = if *status == 0 { "none".to_owned() } else { status.to_string() };
            let mut at = |share: f64| part(times, share).unwrap_or_default();
            let (median, most) = (at(0.5), at(1.0));
            format!("{} × {name} after {} (at most {})", times.len(), show(median), show(most))
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn show(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1e3) }
}
