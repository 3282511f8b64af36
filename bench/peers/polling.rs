//! Owns clients that poll once a second, whatever they are told, and what they see.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, timeout};

use crate::client::{Connection, Door};
use crate::figure::part;
use crate::script::wall_micros;

const EVERY: Duration = Duration::from_secs(1);
/// How long one of them waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    pub clients: u32,
    pub tasks: u32,
    /// No poll begins after it.
    pub time: Duration,
}

/// All polls and what became of them.
#[derive(Debug)]
pub struct Seen {
    /// On the wall, in microseconds.
    begun: u64,
    time: Duration,
    /// Each client's, in args.
    clients: Vec<Vec<Poll>>,
}

/// What clients have, looked at once a second.
#[derive(Debug)]
pub struct Held {
    /// In seconds.
    pub ages: Vec<f64>,
    /// The part of the looks that found a client with nothing yet.
    pub nothing: f64,
}

#[derive(Debug, Clone, Copy)]
struct Poll {
    /// 0: no answer.
    status: u16,
    took: Duration,
    /// On the wall, as `begun`.
    ended: u64,
    /// When the origin made the state, where there is one.
    made: Option<u64>,
}

impl Crowd {
    pub async fn poll(self, door: Door) -> Seen {
        let (start, begun) = (Instant::now(), wall_micros());
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let path = format!("/v1/tasks/live-{}", number % self.tasks);
            // Spread over the first second.
            clients.spawn(client(door, path, start + EVERY * number / self.clients, start + self.time));
        }
        Seen { begun, time: self.time, clients: clients.join_all().await }
    }
}

async fn client(door: Door, path: String, first: Instant, end: Instant) -> Vec<Poll> {
    let mut polls = Vec::new();
    let mut connection = None;
    let mut ticks = interval_at(first, EVERY);
    // Who had to wait for longer than a second asks again at once, and then every second.
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

    /// Those that came in the second half of the time.
    pub fn late_errors(&self) -> usize {
        let half = self.begun + micros(self.time / 2);
        self.all().filter(|poll| poll.status != 200 && poll.ended > half).count()
    }

    /// Each second, for each client: how old is the last state that it got? Ages of the answers alone would flatter who
    /// answers few, or lets clients wait.
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

    /// How many of which answer, and how long they took.
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
