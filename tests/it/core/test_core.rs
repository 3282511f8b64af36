//! Owns the fixture: a core whose upstream is answered by hand, call by call.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use taskgate::core::answer::{Answer, Origin, Reason, Refusal};
use taskgate::core::budget::{Budget, Permit, Rate};
use taskgate::core::content::{ContentRequest, Opened};
use taskgate::core::failure::Failure;
use taskgate::core::grant::{CancelGrant, Client, Grant};
use taskgate::core::identity::ForeignIds;
use taskgate::core::mirror::Mirror;
use taskgate::core::pacing::{MEMORY, Pacer, Pacing};
use taskgate::core::policy::Policy;
use taskgate::core::ports::{Cancelling, Connection, Fetched, Fetching, Opening, Reply, Source};
use taskgate::core::shared::SharedTier;
use taskgate::core::snapshot::{Phase, Snapshot};
use taskgate::core::state::Retention;
use taskgate::core::task::{Route, Routes, TaskKey};
use taskgate::core::watch::{Watch, WatchEvent};
use taskgate::lifecycle::Lifecycle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};

/// The settings that a test may change; the defaults are the settings' own.
pub struct Setup {
    pub policy: Policy,
    pub pacing: Pacing,
    pub learn: bool,
    pub rate: Rate,
    pub max_in_flight: usize,
    pub max_bytes: u64,
    /// What it shares with other cores.
    pub tier: Option<Arc<dyn SharedTier>>,
}

impl Default for Setup {
    fn default() -> Self {
        let policy = Policy {
            retention: Retention {
                terminal_ttl: seconds(3600.0),
                not_found_ttl: seconds(2.0),
                stale_for: seconds(600.0),
            },
            patience: seconds(5.0),
            gone_after: seconds(15.0),
            timeout: seconds(10.0),
            max_tasks: 20_000,
        };
        let pacing = Pacing { fresh_for: seconds(2.0), max_interval: seconds(5.0) };
        let rate = Rate { per_minute: 800.0, burst: 20 };
        Self { policy, pacing, learn: true, rate, max_in_flight: 64, max_bytes: 192 << 20, tier: None }
    }
}

impl Setup {
    pub fn pacer(&self) -> Pacer {
        if self.learn {
            Pacer::learning(self.pacing, MEMORY, self.policy.max_tasks)
        } else {
            Pacer::fixed(self.pacing)
        }
    }
}

/// A core at work.
pub struct TestCore {
    pub mirror: Mirror,
    pub budget: Budget,
    pub lifecycle: Lifecycle,
    upstream: Arc<Upstream>,
    routes: Routes,
}

impl TestCore {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let lifecycle = Lifecycle::default();
        let mut budget = Budget::new(setup.rate, setup.max_in_flight, Instant::now());
        if let Some(tier) = setup.tier.clone() {
            budget = budget.shared(tier);
        }
        let upstream = Arc::new(Upstream::default());
        let source: Arc<dyn Source> = Arc::<Upstream>::clone(&upstream);
        let routes = ["/v1/tasks/{id}", "/v1/images/{id}"].map(|path| Route::parse(path).unwrap());
        let routes = Routes::new(routes.into());
        let (policy, max_bytes) = (setup.policy, setup.max_bytes);
        let pacer = setup.pacer();
        let mirror =
            Mirror::start(policy, pacer, routes.clone(), max_bytes, budget.clone(), source, &lifecycle);
        Self { mirror, budget, lifecycle, upstream, routes }
    }

    pub fn key(&self, id: &str) -> TaskKey {
        self.routes.find(&format!("/v1/tasks/{id}")).unwrap()
    }

    pub fn grant(&self, client: &str, id: &str) -> Grant {
        Grant::issue(self.key(id), Client::Named(client.into()), None)
    }

    /// A plain GET in a task of its own, which has begun to wait when this returns.
    pub async fn ask(&self, client: &str, id: &str) -> Asked {
        let (mirror, grant) = (self.mirror.clone(), self.grant(client, id));
        let asked =
            Asked(self.lifecycle.spawn(async move { mirror.look(&grant, std::future::pending()).await }));
        settle().await;
        asked
    }

    /// The next call upstream, made already, which must be about this task.
    #[track_caller]
    pub fn call(&self, id: &str) -> Call {
        let call = self.any_call().unwrap_or_else(|| panic!("nobody asks the upstream about {id}"));
        assert_eq!(call.key.id(), id, "the upstream is asked about another task");
        call
    }

    /// The next call upstream, if one was made already.
    pub fn any_call(&self) -> Option<Call> {
        self.upstream.calls.lock().unwrap().pop_front()
    }

    /// A cancellation in a task of its own, which has begun to wait when this returns.
    pub async fn cancel(&self, client: &str, id: &str) -> JoinHandle<Result<Reply, Refusal>> {
        let grant = CancelGrant::issue(self.key(id), Client::Named(client.into()));
        let mirror = self.mirror.clone();
        let cancelling = self.lifecycle.spawn(async move { mirror.cancel(&grant).await });
        settle().await;
        cancelling
    }

    /// The opening of a content in a task of its own, which has begun to wait when this returns.
    pub async fn open(&self, client: &str, id: &str) -> JoinHandle<Result<Opened, Refusal>> {
        let (mirror, grant) = (self.mirror.clone(), self.grant(client, id));
        let request = ContentRequest::of(false, &HeaderMap::new());
        let opening = self.lifecycle.spawn(async move { mirror.open(&grant, request).await });
        settle().await;
        opening
    }

    /// The next opening upstream, if one was made already.
    pub fn any_opening(&self) -> Option<Call<Opened>> {
        self.upstream.openings.lock().unwrap().pop_front()
    }

    /// The next cancellation upstream, if one was made already.
    pub fn any_cancel(&self) -> Option<Call<Reply>> {
        self.upstream.cancels.lock().unwrap().pop_front()
    }

    /// All calls made already.
    pub fn calls(&self) -> Vec<Call> {
        std::iter::from_fn(|| self.any_call()).collect()
    }

    #[track_caller]
    pub fn no_call(&self) {
        let waiting = self.upstream.calls.lock().unwrap();
        assert!(waiting.is_empty(), "the upstream is asked about {}", waiting[0].key);
    }

    /// When each request went upstream, answered or not.
    pub fn sent(&self) -> Vec<Instant> {
        self.upstream.sent.lock().unwrap().clone()
    }

    /// How often the core has asked for all kept connections to be closed.
    pub fn distrusted(&self) -> usize {
        self.upstream.distrusted.load(Ordering::Relaxed)
    }

    /// Asks and has it answered.
    pub async fn fetch(&self, client: &str, id: &str, answer: Result<Snapshot, Failure>) -> Got {
        let asked = self.ask(client, id).await;
        self.call(id).answer(answer).await;
        asked.got().await
    }
}

pub type Got = Result<Answer, Refusal>;

/// A plain GET under way. Dropped, it goes on; see [`leave`](Self::leave).
pub struct Asked(JoinHandle<Got>);

impl Asked {
    pub fn is_waiting(&self) -> bool {
        !self.0.is_finished()
    }

    /// The answer, which must be there by now.
    #[track_caller]
    pub fn got(self) -> impl Future<Output = Got> {
        assert!(self.0.is_finished(), "it still waits for its answer");
        async move { self.0.await.unwrap() }
    }

    /// The answer, however long it takes.
    pub async fn wait(self) -> Got {
        self.0.await.unwrap()
    }

    /// The client closes its connection.
    pub async fn leave(self) {
        self.0.abort();
        settle().await;
    }
}

/// Takes calls and leaves them to the test.
#[derive(Default)]
struct Upstream {
    calls: Mutex<VecDeque<Call>>,
    cancels: Mutex<VecDeque<Call<Reply>>>,
    openings: Mutex<VecDeque<Call<Opened>>>,
    sent: Mutex<Vec<Instant>>,
    distrusted: AtomicUsize,
}

impl Source for Upstream {
    fn fetch<'a>(&'a self, key: &'a TaskKey, permit: Permit, connection: Connection) -> Fetching<'a> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.sent.lock().unwrap().push(Instant::now());
            self.calls.lock().unwrap().push_back(Call { key: key.clone(), connection, answer });
            let result = answered.await;
            drop(permit);
            // A panic without the hook's report, which would only be noise.
            let result = result
                .unwrap_or_else(|_| std::panic::resume_unwind(Box::new("a call that a test broke off")));
            result.map(|(snapshot, foreign)| Fetched { snapshot, foreign })
        })
    }

    fn cancel<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Cancelling<'a> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.sent.lock().unwrap().push(Instant::now());
            let connection = Connection::Fresh;
            self.cancels.lock().unwrap().push_back(Call { key: key.clone(), connection, answer });
            let result = answered.await;
            drop(permit);
            let result = result
                .unwrap_or_else(|_| std::panic::resume_unwind(Box::new("a call that a test broke off")));
            result.map(|(reply, foreign)| reply.map(|snapshot| Fetched { snapshot, foreign }))
        })
    }

    fn open<'a>(&'a self, key: &'a TaskKey, _: &'a ContentRequest, permit: Permit) -> Opening<'a> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.sent.lock().unwrap().push(Instant::now());
            let connection = Connection::Fresh;
            self.openings.lock().unwrap().push_back(Call { key: key.clone(), connection, answer });
            let result = answered.await;
            drop(permit);
            result.unwrap_or(Err(Failure::Unreachable)).map(|(opened, _)| opened)
        })
    }

    fn distrust_connections(&self) {
        self.distrusted.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request upstream. Dropped without an answer, its flight panics; kept, it hangs.
pub struct Call<T = Snapshot> {
    pub key: TaskKey,
    pub connection: Connection,
    answer: oneshot::Sender<Result<(T, Option<ForeignIds>), Failure>>,
}

impl<T> Call<T> {
    /// Whether the request is still under way.
    pub fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    pub async fn answer(self, answer: Result<T, Failure>) {
        // A flight that was given up no longer listens.
        drop(self.answer.send(answer.map(|answer| (answer, None))));
        settle().await;
    }

    /// Answers with a body that names its task by these ids.
    pub async fn answer_as(self, ids: &[&str], answer: Result<T, Failure>) {
        let foreign = ForeignIds::new(self.key.id(), ids);
        drop(self.answer.send(answer.map(|answer| (answer, foreign))));
        settle().await;
    }

    pub async fn panic(self) {
        drop(self.answer);
        settle().await;
    }
}

/// Lets everything run that can run without time passing.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass, stopping at everybody's alarms on the way.
pub async fn pass(length: f64) {
    sleep(seconds(length)).await;
    settle().await;
}

pub fn seconds(length: f64) -> Duration {
    Duration::from_secs_f64(length)
}

pub fn snapshot(status: u16, phase: Phase, body: &str) -> Snapshot {
    let json = HeaderValue::from_static("application/json");
    let body = Bytes::copy_from_slice(body.as_bytes());
    Snapshot::new(StatusCode::from_u16(status).unwrap(), json, body, Instant::now(), phase)
}

pub fn live(body: &str) -> Result<Snapshot, Failure> {
    Ok(snapshot(200, Phase::Live, body))
}

pub fn terminal(body: &str) -> Result<Snapshot, Failure> {
    Ok(snapshot(200, Phase::Terminal, body))
}

pub fn missing() -> Result<Snapshot, Failure> {
    Ok(snapshot(404, Phase::Missing, "gone"))
}

pub fn refused(code: u16) -> Result<Snapshot, Failure> {
    Ok(snapshot(code, Phase::Refused, "refused"))
}

pub const DOWN: Failure = Failure::ServerError { status: 503, retry_after: None };

pub fn limited(retry_after: Option<u64>) -> Failure {
    Failure::RateLimited { retry_after: retry_after.map(Duration::from_secs) }
}

pub fn watch(core: &TestCore, client: &str, id: &str) -> Watch {
    core.mirror.watch(&core.grant(client, id), None).unwrap()
}

/// The next sight, if there is one without time passing.
pub async fn next_sight(watch: &mut Watch) -> Option<WatchEvent> {
    settle().await;
    timeout(Duration::ZERO, watch.next()).await.ok()
}

/// The body of an answer.
#[track_caller]
pub fn body(got: &Got) -> &str {
    let answer = got.as_ref().unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
    std::str::from_utf8(&answer.state.snapshot.body).unwrap()
}

/// Why an answer stands in, and whether the upstream was asked.
#[track_caller]
pub fn stands_in(got: &Got) -> (Reason, bool) {
    match got {
        Ok(Answer { origin: Origin::StandIn { reason, asked }, .. }) => (*reason, *asked),
        other => panic!("this stands in for nothing: {other:?}"),
    }
}

/// `seconds` as a client is told them: whole, at least one, and up to a fifth more (and one).
#[track_caller]
pub fn assert_spread(retry_after: u64, seconds: f64) {
    let least = seconds.ceil().max(1.0);
    let most = least + (least / 5.0).ceil();
    let told = retry_after as f64;
    assert!((least..=most).contains(&told), "told {told} s instead of {least} to {most}");
}
