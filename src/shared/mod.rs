//! Owns the tier that replicas share on Redis or Valkey: an implementation of [`SharedTier`].
//!
//! The decisions are in scripts, each of which Redis runs as one step. [`link`] bounds each call and finds out whether this
//! process is alone; [`hints`] listens to the news; [`record`] is the form of a state, which only a holder of the API key
//! can write.

mod clock;
mod counters;
mod failures;
mod hints;
mod keys;
mod link;
mod record;
mod replies;
mod scripts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};
use redis::{Client, ScriptInvocation, Value};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use self::clock::Clock;
use self::counters::Call;
pub use self::counters::Counters;
use self::hints::Listener;
use self::keys::Names;
use self::link::{Link, Standing};
use self::replies::Reply;
use self::scripts::Scripts;
use crate::core::failure::Failure;
use crate::core::shared::{
    Alone, Begun, Calling, Clearance, GateNews, Kept, Landed, Landing, News, SharedState, SharedTier, Terms,
};
use crate::core::state::State;
use crate::core::task::TaskKey;

/// A state is kept so much longer than a request takes that a late writer is refused.
const LEAST_LIFE: Duration = Duration::from_secs(60);
/// The attempts of a call that has to be repeated.
const ATTEMPTS: usize = 3;

/// What the tier is made of.
pub struct Options<'o> {
    /// The address of Redis, with its password.
    pub redis_url: &'o str,
    /// The name that replicas have in common.
    pub namespace: &'o str,
    /// The address of the upstream.
    pub base_url: &'o str,
    /// The upstream's API key.
    pub api_key: &'o str,
    /// The replicas that there are supposed to be.
    pub replicas_hint: u32,
    /// The rate of all replicas together.
    pub rate: Pace,
    /// The longest duration of an upstream request.
    pub timeout: Duration,
}

/// The rate of the budget.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Requests a minute.
    pub per_minute: f64,
    /// Requests that may start at once.
    pub burst: u32,
}

/// The address cannot be used.
#[derive(Debug, Error)]
#[error("shared.redis_url cannot be used; write one such as redis://127.0.0.1:6379")]
pub struct AddressError;

/// The shared tier on Redis.
pub struct RedisTier {
    link: Link,
    scripts: Scripts,
    /// Random: this process.
    replica: String,
    names: RwLock<Arc<Names>>,
    renamed: Notify,
    pace: Mutex<Pace>,
    clock: Mutex<Option<Clock>>,
    listener: tokio::sync::Mutex<Listener>,
    hint: u32,
    /// The replicas alive at the last look.
    seen: AtomicU32,
    least_life: Duration,
}

impl RedisTier {
    /// The tier at this address. Nothing is sent before [`SharedTier::news`] is polled.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(options: &Options<'_>) -> Result<Self, AddressError> {
        let client = Client::open(options.redis_url).map_err(|_| AddressError)?;
        Ok(Self {
            link: Link::new(client),
            scripts: Scripts::new(),
            replica: format!("{:016x}", fastrand::u64(..)),
            names: RwLock::new(Arc::new(Names::new(options.namespace, options.base_url, options.api_key))),
            renamed: Notify::new(),
            pace: Mutex::new(options.rate),
            clock: Mutex::new(None),
            listener: tokio::sync::Mutex::new(Listener::new()),
            hint: options.replicas_hint,
            seen: AtomicU32::new(0),
            least_life: options.timeout * 2 + LEAST_LIFE,
        })
    }

    /// Sets another rate.
    pub fn set_rate(&self, rate: Pace) {
        *self.pace.lock() = rate;
    }

    /// Shares with those of another key, namespace or upstream from now on.
    pub fn rename(&self, namespace: &str, base_url: &str, api_key: &str) {
        *self.names.write() = Arc::new(Names::new(namespace, base_url, api_key));
        self.renamed.notify_one();
    }

    /// Why this process is alone, if it is.
    pub fn trouble(&self) -> Option<String> {
        match self.link.standing() {
            Standing::Together => None,
            Standing::Starting => Some("Redis has not been asked yet".to_owned()),
            Standing::Alone(why) => Some(format!(
                "Redis cannot be used ({why}): this process is alone, with 1/{} of the budget",
                self.replicas()
            )),
        }
    }

    /// The replicas alive at the last look; 0 while this process is alone.
    pub fn replicas_alive(&self) -> u32 {
        if self.link.standing() == Standing::Together { self.seen.load(Ordering::Relaxed) } else { 0 }
    }

    /// The counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.link.counters
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read())
    }

    fn told_time(&self, clock: Clock) {
        *self.clock.lock() = Some(clock);
    }

    fn saw_replicas(&self, count: u64) {
        self.seen.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// A script with the keys and arguments that all have: the budget and the turns, the interval between two tokens in
    /// microseconds, and the burst.
    fn paced<'s>(&self, script: &'s redis::Script, keys: &[String]) -> ScriptInvocation<'s> {
        let pace = *self.pace.lock();
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(key);
        }
        invocation.arg(60e6 / pace.per_minute).arg(pace.burst);
        invocation
    }

    async fn ask(&self, key: Option<&TaskKey>, terms: Terms) -> Result<Begun, Alone> {
        let names = self.names();
        let mut keys = vec![names.budget(), names.turns(), names.replicas()];
        if let Some(key) = key {
            keys.extend([names.task(key), names.lease(key)]);
        }
        let mut known = terms.known;
        for _ in 0..ATTEMPTS {
            let has_returned = self.link.returned.swap(false, Ordering::Relaxed);
            let mut script = self.paced(&self.scripts.begin, &keys);
            let timeout = terms.timeout.map_or(0, |timeout| timeout.as_millis());
            script.arg(&self.replica).arg(terms.weight.max(1)).arg(owner(terms.owner));
            script.arg(timeout.to_string()).arg(known).arg(u8::from(has_returned));
            let answer = self.link.call(Call::Begin, &script).await.inspect_err(|_| {
                self.link.returned.fetch_or(has_returned, Ordering::Relaxed);
            })?;
            match self.begun(&names, key, terms, answer).ok_or_else(|| self.link.nonsense())? {
                Read::Whole(begun) => return Ok(begun),
                // A state that is not believed is a miss.
                Read::Unverified(sequence) => known = sequence,
            }
        }
        Err(Alone)
    }

    fn begun(
        &self,
        names: &Names,
        key: Option<&TaskKey>,
        terms: Terms,
        answer: Value,
    ) -> Option<Read<Begun>> {
        let now = Instant::now();
        let mut reply = Reply::new(answer)?;
        let after = |micros: u64| now + Duration::from_micros(micros);
        let begun = match reply.text()?.as_str() {
            "newer" => {
                let (time, sequence, blob) = (reply.number()?, reply.number()?, reply.bytes()?);
                return Some(match self.state(names, key?, time, sequence, &blob) {
                    Some(state) => {
                        self.link.counters.taken.add();
                        Read::Whole(Begun::Newer(state))
                    }
                    None => Read::Unverified(sequence),
                });
            }
            "leased" => Begun::Leased(after(reply.number()?)),
            "closed" => {
                let until = after(reply.number()?);
                Begun::Closed { until, because: failures::read(&reply.text()?) }
            }
            "later" => Begun::NotBefore(after(reply.number()?)),
            "go" => {
                let (sequence, is_probe) = (reply.number()?, reply.number()? == 1);
                self.told_time(Clock::told(reply.number()?));
                Begun::Go(Clearance { owner: terms.owner, sequence, is_probe })
            }
            _ => return None,
        };
        Some(Read::Whole(begun))
    }

    /// A state that another replica has written, if it verifies.
    fn state(
        &self,
        names: &Names,
        key: &TaskKey,
        time: u64,
        sequence: u64,
        blob: &[u8],
    ) -> Option<SharedState> {
        let clock = Clock::told(time);
        self.told_time(clock);
        let state = record::read(&names.key, key, sequence, blob, &clock);
        if state.is_none() {
            self.link.counters.unverified.add();
        }
        state
    }

    async fn tell(&self, key: Option<&TaskKey>, landing: Landing<'_>) -> Result<Landed, Alone> {
        let names = self.names();
        let mut keys = vec![names.budget(), names.turns()];
        let (mut path, mut channel) = ("", String::new());
        if let Some(key) = key {
            let number = keys::channel_of(key);
            keys.extend([names.task(key), names.lease(key), names.news(number)]);
            (path, channel) = (key.path(), names.channel(number));
        }
        let mut sequence = landing.clearance.sequence;
        for _ in 0..ATTEMPTS {
            let mut script = self.paced(&self.scripts.land, &keys);
            script.arg(owner(landing.clearance.owner));
            match landing.gate {
                GateNews::None => script.arg("").arg(0).arg("").arg(0),
                GateNews::Closed { hold, because } => script
                    .arg("closed")
                    .arg(hold.as_micros().to_string())
                    .arg(failures::write(because))
                    .arg(u8::from(matches!(because, Failure::RateLimited { .. }))),
                GateNews::Opened => script.arg("opened").arg(0).arg("").arg(0),
            };
            script.arg(path).arg(&channel);
            match landing.state.zip(key).and_then(|(state, key)| self.record(&names, key, state, sequence)) {
                Some(record) => script
                    .arg(sequence)
                    .arg(record.fresh_until)
                    .arg(u8::from(record.is_terminal))
                    .arg(record.life)
                    .arg(record.blob),
                None => script.arg("").arg(0).arg(0).arg(0).arg(""),
            };
            let answer = self.link.call(Call::Land, &script).await?;
            match self.landed(&names, key, answer).ok_or_else(|| self.link.nonsense())? {
                Again::Landed(landed) => return Ok(landed),
                Again::As(number) => sequence = number,
            }
        }
        Err(Alone)
    }

    fn record(&self, names: &Names, key: &TaskKey, state: &State, sequence: u64) -> Option<record::Record> {
        let clock = (*self.clock.lock())?;
        record::write(&names.key, key, state, sequence, &clock, self.least_life)
    }

    fn landed(&self, names: &Names, key: Option<&TaskKey>, answer: Value) -> Option<Again> {
        let mut reply = Reply::new(answer)?;
        let landed = match reply.text()?.as_str() {
            "kept" => Landed::Kept,
            "outdated" => Landed::Outdated,
            "again" => return Some(Again::As(reply.number()?)),
            "other" => {
                let (time, sequence, blob) = (reply.number()?, reply.number()?, reply.bytes()?);
                match self.state(names, key?, time, sequence, &blob) {
                    Some(state) => Landed::Other(state),
                    // What is not believed refuses nothing.
                    None => Landed::Kept,
                }
            }
            _ => return None,
        };
        Some(Again::Landed(landed))
    }

    async fn forget_task(&self, key: &TaskKey) -> Result<(), Alone> {
        let names = self.names();
        let number = keys::channel_of(key);
        let keys = [names.budget(), names.turns(), names.task(key), names.lease(key), names.news(number)];
        let mut script = self.paced(&self.scripts.forget, &keys);
        script.arg(key.path()).arg(names.channel(number));
        self.link.call(Call::Forget, &script).await.map(drop)
    }

    async fn read_task(&self, key: &TaskKey) -> Result<Kept, Alone> {
        let names = self.names();
        let mut script = self.scripts.read.prepare_invoke();
        script.key(names.budget()).key(names.turns()).key(names.task(key));
        let answer = self.link.call(Call::Read, &script).await?;
        let read = || {
            let mut reply = Reply::new(answer)?;
            Some((reply.number()?, reply.number()?, reply.bytes()?, reply.number()?))
        };
        let (time, sequence, blob, forgotten) = read().ok_or_else(|| self.link.nonsense())?;
        if let Some(state) =
            (!blob.is_empty()).then(|| self.state(&names, key, time, sequence, &blob)).flatten()
        {
            self.link.counters.taken.add();
            return Ok(Kept::State(state));
        }
        Ok(if forgotten > 0 { Kept::Forgotten(forgotten) } else { Kept::Nothing })
    }
}

impl SharedTier for RedisTier {
    fn begin<'a>(&'a self, key: Option<&'a TaskKey>, terms: Terms) -> Calling<'a, Begun> {
        Box::pin(self.ask(key, terms))
    }

    fn land<'a>(&'a self, key: Option<&'a TaskKey>, landing: Landing<'a>) -> Calling<'a, Landed> {
        Box::pin(self.tell(key, landing))
    }

    fn forget<'a>(&'a self, key: &'a TaskKey) -> Calling<'a, ()> {
        Box::pin(self.forget_task(key))
    }

    fn read<'a>(&'a self, key: &'a TaskKey) -> Calling<'a, Kept> {
        Box::pin(self.read_task(key))
    }

    fn news<'a>(&'a self) -> std::pin::Pin<Box<dyn Future<Output = Vec<News>> + Send + 'a>> {
        Box::pin(self.next_news())
    }

    fn replicas(&self) -> u32 {
        self.hint.max(self.seen.load(Ordering::Relaxed)).max(1)
    }
}

/// An answer, or one whose state is not believed.
enum Read<T> {
    Whole(T),
    Unverified(u64),
}

/// The end of a landing, or the number under which it is to be repeated.
enum Again {
    Landed(Landed),
    As(u64),
}

fn owner(owner: u64) -> String {
    format!("{owner:016x}")
}
