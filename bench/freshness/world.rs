//! Owns the simulation: the real core on paused time, an upstream whose tasks end when they should, and clients that
//! watch as many tasks as they have, each followed by the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use taskgate::core::budget::{Budget, Flow, Permit, Rate};
use taskgate::core::grant::{Client, Grant};
use taskgate::core::mirror::Mirror;
use taskgate::core::pacing::{Before, Load, Look, MEMORY, Pacer, Pacing, Plan};
use taskgate::core::policy::Policy;
use taskgate::core::ports::{Cancelling, Connection, Fetching, Source};
use taskgate::core::snapshot::{Hints, Phase, Snapshot};
use taskgate::core::state::Retention;
use taskgate::core::task::{Route, Routes, TaskKey};
use taskgate::core::watch::WatchEvent;
use taskgate::lifecycle::Lifecycle;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::workload::{Task, Workload};

/// The time of one answer.
const LATENCY: Duration = Duration::from_millis(20);
/// The ends from which the informed rule knows the distribution.
const INFORMED: usize = 40_000;

/// When tasks are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Fixed intervals, as `polling.learn = false`.
    Fixed,
    Learned,
    /// As learned, by a pacer that has seen the workload for ever and forgets nothing.
    Informed,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Scene {
    pub workload: Workload,
    pub rule: Rule,
    /// The tasks of each client.
    pub clients: Vec<usize>,
    /// From the middle on, so many times as many tasks.
    pub surge: usize,
    /// So many tasks of a client begin together, when all of the batch before are over.
    pub batch: usize,
    pub per_second: f64,
    pub pacing: Pacing,
    pub seconds: f64,
    /// Ends in this part of the time are counted.
    pub counted: (f64, f64),
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Client, end and delay of each task, in the order in which the ends were seen.
    pub ends: Vec<(usize, f64, f64)>,
    /// The seconds between two looks at a task.
    pub gaps: Vec<f64>,
    /// Requests in the counted time.
    pub requests: usize,
}

impl Outcome {
    pub fn mean(&self) -> f64 {
        mean(self.ends.iter().map(|(.., delay)| *delay))
    }

    pub fn mean_of(&self, client: usize) -> f64 {
        mean(self.ends.iter().filter(|(of, ..)| *of == client).map(|(.., delay)| *delay))
    }

    pub fn p99(&self) -> f64 {
        let mut delays: Vec<f64> = self.ends.iter().map(|(.., delay)| *delay).collect();
        delays.sort_by(f64::total_cmp);
        delays.get(delays.len() * 99 / 100).copied().unwrap_or(f64::NAN)
    }

    pub fn longest_gap(&self) -> f64 {
        self.gaps.iter().copied().fold(0.0, f64::max)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

impl Scene {
    /// A client with so many tasks for each request a second that the budget allows.
    pub fn new(workload: &Workload, rule: Rule, tasks_per_rate: f64) -> Self {
        const PER_SECOND: f64 = 10.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
        let tasks = (tasks_per_rate * PER_SECOND).round() as usize;
        Self {
            workload: workload.clone(),
            rule,
            clients: vec![tasks],
            surge: 1,
            batch: 1,
            per_second: PER_SECOND,
            pacing: Pacing { fresh_for: Duration::from_secs(2), max_interval: Duration::from_secs(5) },
            seconds: 12_000.0,
            counted: (0.25, 1.0),
        }
    }

    pub fn run(&self) -> Outcome {
        fastrand::seed(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.map(|runtime| runtime.block_on(self.play())).unwrap_or_default()
    }

    async fn play(&self) -> Outcome {
        let start = Instant::now();
        let at = |part: f64| start + Duration::from_secs_f64(self.seconds * part);
        let lifecycle = Lifecycle::default();
        let upstream = Arc::new(Upstream {
            workload: self.workload.clone(),
            drifts: at(0.5),
            counted: (at(self.counted.0), at(self.counted.1)),
            tasks: Mutex::default(),
            number: AtomicUsize::new(0),
            outcome: Mutex::default(),
        });
        let rate = Rate { per_minute: self.per_second * 60.0, burst: 10 };
        let budget = Budget::new(rate, 10_000, start);
        let routes = Routes::new(Route::parse("/v1/tasks/{id}").into_iter().collect());
        let source = Arc::clone(&upstream) as _;
        let pacer = self.pacer(start);
        let mirror = Mirror::start(policy(), pacer, routes.clone(), 64 << 20, budget, source, &lifecycle);
        for (client, tasks) in self.clients.iter().enumerate() {
            for group in 0..(tasks * self.surge).div_ceil(self.batch) {
                let slots = self.batch.min(tasks * self.surge - group * self.batch);
                let from = if group * self.batch < *tasks { start } else { at(0.5) };
                let watcher = Watcher {
                    mirror: mirror.clone(),
                    routes: routes.clone(),
                    client,
                    upstream: Arc::clone(&upstream),
                };
                drop(lifecycle.spawn(async move {
                    // Not all tasks begin in the same moment.
                    sleep_until(from + Duration::from_secs_f64(60.0 * fastrand::f64())).await;
                    loop {
                        let batch = (0..slots).map(|_| watcher.watch());
                        futures(batch).await;
                    }
                }));
            }
        }
        sleep(Duration::from_secs_f64(self.seconds)).await;
        lifecycle.stop();
        std::mem::take(&mut *lock(&upstream.outcome))
    }

    fn pacer(&self, now: Instant) -> Pacer {
        match self.rule {
            Rule::Fixed => Pacer::fixed(self.pacing),
            Rule::Learned => Pacer::learning(self.pacing, MEMORY, 1000),
            Rule::Informed => {
                let mut pacer = Pacer::learning(self.pacing, 1e9, 1000);
                (0..INFORMED).for_each(|number| inform(&mut pacer, &self.workload.task(number), now));
                pacer
            }
        }
    }
}

/// Shows a task's whole course to a pacer: its beginning, the moment before its end, and its end.
fn inform(pacer: &mut Pacer, task: &Task, now: Instant) {
    let mut plan: Option<Plan> = None;
    let run = (task.queued > 0.0).then_some(task.queued);
    let looks = [Some(0.0), run, Some(task.seconds - 1e-3), Some(task.seconds)];
    let mut word = None;
    for age in looks.into_iter().flatten() {
        let fetched = now + Duration::from_secs_f64(age.max(0.0));
        let phase = if age >= task.seconds { Phase::Terminal } else { Phase::Live };
        let snapshot = answer(task, age, phase, None, fetched);
        let track = plan.as_mut().and_then(|plan| plan.track.take());
        let before = track.as_deref().map_or(Before::Nothing, |track| Before::Running { track, word });
        let nobody = |_: &Client| Load {
            tasks: 1,
            clients: 1,
            all_tasks: 1,
            flow: Flow { per_second: 1.0, used: 1.0 },
        };
        let look = Look { route: 0, first_seen: now, before, snapshot: &snapshot };
        plan = pacer.looked(look, std::iter::empty(), nobody);
        word = Some(if age >= task.queued { "processing" } else { "pending" });
    }
}

fn answer(task: &Task, age: f64, phase: Phase, progress: Option<f32>, fetched: Instant) -> Snapshot {
    let json = HeaderValue::from_static("application/json");
    let mut snapshot = Snapshot::new(StatusCode::OK, json, Bytes::from_static(b"{}"), fetched, phase);
    let word = match phase {
        Phase::Terminal => "completed",
        _ if age < task.queued => "pending",
        _ => "processing",
    };
    snapshot.word = Some(word.into());
    let model = task.model.as_deref().map(Into::into);
    let age = Duration::try_from_secs_f64(age).ok();
    snapshot.hints = Some(Box::new(Hints { age, model, progress }));
    snapshot
}

/// The tasks that there are.
struct Upstream {
    workload: Workload,
    drifts: Instant,
    counted: (Instant, Instant),
    tasks: Mutex<HashMap<String, Running>>,
    number: AtomicUsize,
    outcome: Mutex<Outcome>,
}

struct Running {
    task: Task,
    created: Instant,
    looked: Option<Instant>,
}

impl Upstream {
    fn create(&self) -> String {
        let (number, created) = (self.number.fetch_add(1, Ordering::Relaxed), Instant::now());
        let mut task = self.workload.task(number);
        if created >= self.drifts {
            task.seconds *= self.workload.drift;
        }
        lock(&self.tasks).insert(number.to_string(), Running { task, created, looked: None });
        number.to_string()
    }

    /// A watcher has seen the end of a task.
    fn over(&self, id: &str, client: usize) {
        let Some(running) = lock(&self.tasks).remove(id) else { return };
        let end = running.created + Duration::from_secs_f64(running.task.seconds);
        if self.counts(end) {
            let since = end.saturating_duration_since(self.counted.0).as_secs_f64();
            lock(&self.outcome).ends.push((client, since, end.elapsed().as_secs_f64()));
        }
    }

    fn counts(&self, at: Instant) -> bool {
        (self.counted.0..=self.counted.1).contains(&at)
    }
}

impl Source for Upstream {
    fn fetch<'a>(&'a self, key: &'a TaskKey, _permit: Permit, _: Connection) -> Fetching<'a> {
        Box::pin(async move {
            sleep(LATENCY).await;
            let now = Instant::now();
            let mut tasks = lock(&self.tasks);
            let Some(running) = tasks.get_mut(key.id()) else {
                return Err(taskgate::core::failure::Failure::Unreachable);
            };
            if self.counts(now) {
                let mut outcome = lock(&self.outcome);
                outcome.requests += 1;
                outcome.gaps.extend(running.looked.map(|before| (now - before).as_secs_f64()));
            }
            running.looked = Some(now);
            let (task, age) = (&running.task, (now - running.created).as_secs_f64());
            let phase = if age >= task.seconds { Phase::Terminal } else { Phase::Live };
            Ok(answer(task, age, phase, self.workload.told(age, task.seconds), now).into())
        })
    }

    fn cancel<'a>(&'a self, _: &'a TaskKey, _: Permit) -> Cancelling<'a> {
        unreachable!("nobody cancels here")
    }

    fn distrust_connections(&self) {}
}

/// A client's page, which watches one task after the other.
struct Watcher {
    mirror: Mirror,
    routes: Routes,
    client: usize,
    upstream: Arc<Upstream>,
}

impl Watcher {
    async fn watch(&self) {
        let id = self.upstream.create();
        let Ok(key) = self.routes.find(&format!("/v1/tasks/{id}")) else { return };
        let grant = Grant::issue(key, Client::Named(self.client.to_string().into()), None);
        let Ok(mut watch) = self.mirror.watch(&grant, None) else { return };
        loop {
            match watch.next().await {
                WatchEvent::State(state, _) if state.snapshot.phase == Phase::Terminal => break,
                WatchEvent::Gone(_) | WatchEvent::Evicted(_) => break,
                WatchEvent::State(..) | WatchEvent::Estimate(_) | WatchEvent::Trouble(_) => {}
            }
        }
        self.upstream.over(&id, self.client);
    }
}

/// Waits for all of them.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn policy() -> Policy {
    Policy {
        retention: Retention {
            terminal_ttl: Duration::from_secs(3600),
            not_found_ttl: Duration::from_secs(2),
            stale_for: Duration::from_secs(600),
        },
        patience: Duration::from_secs(5),
        gone_after: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        max_tasks: 20_000,
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
