//! Owns clients that poll once a second, whatever they are told, and what they see.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, timeout};

use crate::client::Connection;
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
#[derive(Debug, Default)]
pub struct Seen(Vec<Poll>);

#[derive(Debug, Clone, Copy)]
struct Poll {
    /// 0: no answer.
    status: u16,
    took: Duration,
    /// Of the state, where there is one.
    age: Option<Duration>,
}

impl Crowd {
    pub async fn poll(self, address: SocketAddr) -> Seen {
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let path = format!("/v1/tasks/live-{}", number % self.tasks);
            // Spread over the first second.
            clients.spawn(client(address, path, start + EVERY * number / self.clients, start + self.time));
        }
        Seen(clients.join_all().await.concat())
    }
}

async fn client(address: SocketAddr, path: String, first: Instant, end: Instant) -> Vec<Poll> {
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
                None => Connection::open(address).await?,
            };
            let answer = open.get(&path).await?;
            connection = answer.goes_on().then_some(open);
            std::io::Result::Ok(answer)
        };
        let answer = timeout(PATIENCE, ask).await.ok().and_then(Result::ok);
        let at = answer.as_ref().filter(|answer| answer.status == 200).and_then(|answer| answer.number("at"));
        polls.push(Poll {
            status: answer.map_or(0, |answer| answer.status),
            took: asked.elapsed(),
            age: at.map(|at| Duration::from_micros(wall_micros().saturating_sub(at))),
        });
    }
}

impl Seen {
    pub fn polls(&self) -> usize {
        self.0.len()
    }

    pub fn errors(&self) -> usize {
        self.0.iter().filter(|poll| poll.status != 200).count()
    }

    /// The age in seconds below which this part of the states was.
    pub fn age(&self, share: f64) -> Option<f64> {
        let mut ages: Vec<f64> =
            self.0.iter().filter_map(|poll| poll.age).map(|age| age.as_secs_f64()).collect();
        part(&mut ages, share)
    }

    /// How many of which answer, and how long they took.
    pub fn told(&self) -> String {
        let mut by_status: BTreeMap<u16, Vec<f64>> = BTreeMap::new();
        for poll in &self.0 {
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

fn show(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1e3) }
}
