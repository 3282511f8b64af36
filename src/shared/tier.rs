//! Owns the tier: its parts, its names, and what it tells of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};
use redis::{Client, ScriptInvocation};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Duration;

use super::clock::Clock;
use super::counters::Counters;

use super::keys::Names;
use super::link::{Link, Standing};
use super::listener::Listener;
use super::scripts::Scripts;
use crate::core::shared::{Begun, Calling, Kept, Landed, Landing, News, SharedTier, Terms};
use crate::core::task::TaskKey;

/// A state is kept so much longer than a request takes that a late writer is refused.
const LEAST_LIFE: Duration = Duration::from_secs(60);
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
    pub(super) link: Link,
    pub(super) scripts: Scripts,
    /// Random: this process.
    pub(super) replica: String,
    pub(super) names: RwLock<Arc<Names>>,
    pub(super) renamed: Notify,
    pub(super) pace: Mutex<Pace>,
    pub(super) clock: Mutex<Option<Clock>>,
    /// Taken while somebody listens: it waits, and nobody waits for it.
    pub(super) listener: Mutex<Option<Listener>>,
    hint: u32,
    /// The replicas alive at the last look.
    seen: AtomicU32,
    pub(super) least_life: Duration,
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
            listener: Mutex::new(None),
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

    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read())
    }

    pub(super) fn told_time(&self, clock: Clock) {
        *self.clock.lock() = Some(clock);
    }

    pub(super) fn saw_replicas(&self, count: u64) {
        self.seen.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// A script with the keys and arguments that all have: the budget and the turns, the interval between two tokens in
    /// microseconds, and the burst.
    pub(super) fn paced<'s>(&self, script: &'s redis::Script, keys: &[String]) -> ScriptInvocation<'s> {
        let pace = *self.pace.lock();
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(key);
        }
        invocation.arg(60e6 / pace.per_minute).arg(pace.burst);
        invocation
    }
}

impl SharedTier for RedisTier {
    fn begin<'a>(&'a self, key: Option<&'a TaskKey>, terms: Terms) -> Calling<'a, Begun> {
        Box::pin(self.ask(key, terms))
    }

    fn renew<'a>(&'a self, key: Option<&'a TaskKey>, owner: u64, lease: Duration) -> Calling<'a, ()> {
        Box::pin(self.hold(key, owner, lease))
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
