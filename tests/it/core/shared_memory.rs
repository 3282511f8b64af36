//! Owns a shared tier in memory: the promises of the scripts, on tokio's time, with calls that come late, get lost or are
//! answered in vain.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use taskgate::core::budget::{Bucket, Rate};
use taskgate::core::failure::Failure;
use taskgate::core::shared::{
    Alone, Begun, Calling, Clearance, GateNews, Kept, Landed, Landing, News, SharedState, SharedTier, Terms,
};
use taskgate::core::snapshot::Phase;
use taskgate::core::task::TaskKey;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, timeout};

/// The longest duration of a call.
pub const CALL: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_secs(2);

/// What all replicas share.
pub struct Memory {
    kept: Mutex<Contents>,
    told: Notify,
}

struct Contents {
    bucket: Bucket,
    issued: u64,
    tasks: HashMap<String, Task>,
    leases: HashMap<String, (u64, Instant)>,
    closed: Option<Closed>,
    news: Vec<News>,
}

struct Closed {
    until: Instant,
    because: Failure,
    probe: Option<(u64, Instant)>,
}

#[derive(Default)]
struct Task {
    sequence: u64,
    forgotten: Option<(u64, Instant)>,
    state: Option<(SharedState, Instant)>,
}

impl Contents {
    fn number(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    fn tell(&mut self, key: &TaskKey, sequence: u64) {
        self.news.push(News { path: key.path().to_owned(), sequence });
    }
}

impl Memory {
    pub fn new(rate: Rate) -> Arc<Self> {
        let now = Instant::now();
        let contents = Contents {
            bucket: Bucket::new(rate, now),
            issued: 0,
            tasks: HashMap::new(),
            leases: HashMap::new(),
            closed: None,
            news: Vec::new(),
        };
        Arc::new(Self { kept: Mutex::new(contents), told: Notify::new() })
    }

    /// It has restarted, and knows nothing but the time.
    pub fn flush(&self) {
        let mut kept = self.kept.lock().unwrap();
        kept.tasks.clear();
        kept.leases.clear();
        kept.closed = None;
        kept.bucket.empty(Instant::now());
    }
}

/// What may happen to the calls of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// They are answered, sooner or later.
    Good,
    /// Each may be lost, on the way there or back; and hints are.
    Bad,
    /// None arrives.
    Dead,
}

/// One replica's way to what is shared.
pub struct Way {
    memory: Arc<Memory>,
    line: Mutex<Line>,
    heard: Mutex<usize>,
}

impl Way {
    pub fn to(memory: &Arc<Memory>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), line: Mutex::new(Line::Good), heard: Mutex::new(0) })
    }

    pub fn becomes(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    fn line(&self) -> Line {
        *self.line.lock().unwrap()
    }

    async fn call<T>(&self, work: impl FnOnce(&mut Contents) -> T) -> Result<T, Alone> {
        let line = self.line();
        let is_lost = |part: u32| line == Line::Dead || (line == Line::Bad && fastrand::u32(..10) < part);
        if is_lost(2) {
            sleep(CALL).await;
            return Err(Alone);
        }
        sleep(CALL.mul_f64(fastrand::f64() / 2.0)).await;
        let result = work(&mut self.memory.kept.lock().unwrap());
        self.memory.told.notify_waiters();
        sleep(CALL.mul_f64(fastrand::f64() / 2.0)).await;
        if is_lost(2) { Err(Alone) } else { Ok(result) }
    }
}

impl SharedTier for Way {
    fn begin<'a>(&'a self, key: Option<&'a TaskKey>, terms: Terms) -> Calling<'a, Begun> {
        Box::pin(self.call(move |kept| {
            let now = Instant::now();
            if let Some(key) = key {
                let task = kept.tasks.get(key.path());
                if let Some((state, fresh_until)) = task.and_then(|task| task.state.as_ref())
                    && state.snapshot.sequence > terms.known
                    && *fresh_until > now
                {
                    return Begun::Newer(state.clone());
                }
                if let Some((owner, until)) = kept.leases.get(key.path())
                    && *owner != terms.owner
                    && *until > now
                {
                    return Begun::Leased(*until);
                }
            }
            let mut is_probe = false;
            if let Some(Closed { until, because, probe }) = kept.closed {
                if until > now {
                    return Begun::Closed { until, because };
                }
                if terms.lease.is_none() || probe.is_some_and(|(_, until)| until > now) {
                    return Begun::Closed { until: now + Duration::from_millis(250), because };
                }
                is_probe = true;
            }
            if !kept.bucket.take(now) {
                return Begun::NotBefore(kept.bucket.ready_at(now, 0).max(now + Duration::from_millis(1)));
            }
            let until = now + terms.lease.unwrap_or_default();
            if let Some(closed) = &mut kept.closed {
                closed.probe = Some((terms.owner, until));
            }
            if let Some(key) = key {
                kept.leases.insert(key.path().to_owned(), (terms.owner, until));
            }
            Begun::Go(Clearance { owner: terms.owner, sequence: kept.number(), is_probe })
        }))
    }

    fn renew<'a>(&'a self, key: Option<&'a TaskKey>, owner: u64, lease: Duration) -> Calling<'a, ()> {
        Box::pin(self.call(move |kept| {
            let renewed = (owner, Instant::now() + lease);
            let held = key.and_then(|key| kept.leases.get_mut(key.path()));
            if let Some(held) = held.filter(|held| held.0 == owner && held.1 > Instant::now()) {
                *held = renewed;
            }
            let probe = kept.closed.as_mut().and_then(|closed| closed.probe.as_mut());
            if let Some(probe) = probe.filter(|probe| probe.0 == owner) {
                *probe = renewed;
            }
        }))
    }

    fn land<'a>(&'a self, key: Option<&'a TaskKey>, landing: Landing<'a>) -> Calling<'a, Landed> {
        Box::pin(self.call(move |kept| {
            let now = Instant::now();
            let owner = landing.clearance.owner;
            let is_the_probe = kept
                .closed
                .as_ref()
                .is_some_and(|closed| closed.probe.is_some_and(|(probe, _)| probe == owner));
            match landing.gate {
                GateNews::None => {}
                GateNews::Closed { hold, because } => {
                    let known = kept.closed.as_ref().map_or(now, |closed| closed.until);
                    if matches!(because, Failure::RateLimited { .. })
                        && (kept.closed.is_none() || is_the_probe)
                    {
                        kept.bucket.slow_down(now);
                    }
                    kept.bucket.empty(now);
                    kept.closed = Some(Closed { until: known.max(now + hold), because, probe: None });
                }
                GateNews::Opened if is_the_probe => {
                    kept.bucket.empty(now);
                    kept.closed = None;
                }
                GateNews::Undecided { hold } if is_the_probe => {
                    if let Some(closed) = &mut kept.closed {
                        (closed.until, closed.probe) = (closed.until.max(now + hold), None);
                    }
                }
                GateNews::Opened | GateNews::Undecided { .. } => {}
            }
            let Some(key) = key else { return Landed::Kept };
            let was_leased = kept.leases.get(key.path()).is_some_and(|(held, _)| *held == owner);
            if was_leased {
                kept.leases.remove(key.path());
            }
            let Some(state) = landing.state else {
                let number = kept.number();
                kept.tell(key, number);
                return Landed::Kept;
            };
            let mut sequence = landing.clearance.sequence;
            let number = kept.number();
            let is_terminal = state.snapshot.phase == Phase::Terminal;
            let task = kept.tasks.entry(key.path().to_owned()).or_default();
            if task.forgotten.is_some_and(|(number, _)| sequence < number) {
                return Landed::Outdated;
            }
            let absorbing = task
                .state
                .as_ref()
                .filter(|(state, fresh_until)| state.snapshot.phase == Phase::Terminal && *fresh_until > now);
            if let Some((terminal, _)) = absorbing.filter(|_| !is_terminal) {
                return Landed::Other(terminal.clone());
            }
            if sequence <= task.sequence {
                match &task.state {
                    _ if is_terminal && absorbing.is_none() => sequence = number,
                    Some((state, _)) => return Landed::Other(state.clone()),
                    None => return Landed::Outdated,
                }
            }
            let mut snapshot = Box::new(state.snapshot.clone());
            snapshot.sequence = sequence;
            task.sequence = sequence;
            task.state = Some((SharedState { snapshot, first_seen: state.first_seen }, state.fresh_until));
            kept.tell(key, sequence);
            Landed::Kept
        }))
    }

    fn forget<'a>(&'a self, key: &'a TaskKey) -> Calling<'a, ()> {
        Box::pin(self.call(move |kept| {
            let number = kept.number();
            let task = Task { sequence: number, forgotten: Some((number, Instant::now())), state: None };
            kept.tasks.insert(key.path().to_owned(), task);
            kept.tell(key, number);
        }))
    }

    fn read<'a>(&'a self, key: &'a TaskKey) -> Calling<'a, Kept> {
        Box::pin(self.call(move |kept| match kept.tasks.get(key.path()) {
            Some(Task { state: Some((state, _)), .. }) => Kept::State(state.clone()),
            Some(Task { forgotten: Some((sequence, at)), .. }) => {
                Kept::Forgotten { sequence: *sequence, at: *at }
            }
            Some(_) | None => Kept::Nothing,
        }))
    }

    fn news<'a>(&'a self) -> Pin<Box<dyn Future<Output = Vec<News>> + Send + 'a>> {
        Box::pin(async {
            loop {
                let told = self.memory.told.notified();
                if self.line() == Line::Good {
                    let mut heard = self.heard.lock().unwrap();
                    let kept = self.memory.kept.lock().unwrap();
                    let news = kept.news[*heard..].to_vec();
                    *heard += news.len();
                    if !news.is_empty() {
                        return news;
                    }
                }
                let _ = timeout(LOOK, told).await;
            }
        })
    }

    fn replicas(&self) -> u32 {
        2
    }
}
