//! Owns the composition: the only part that knows all others.

mod figures;
pub mod listeners;
mod sharing;

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use thiserror::Error;
use tokio::time::Instant;

use self::figures::{Figures, Listener};
pub use self::listeners::Listeners;
use crate::config::{self, Settings};
use crate::core::budget::{Budget, Rate};
use crate::core::mirror::Mirror;
use crate::core::pacing::{self, Pacer, Pacing};
use crate::core::places::Places;
use crate::core::policy::Policy;
use crate::core::ports::Source;
use crate::core::state::Retention;
use crate::http::admin::{self, Admin, Metrics};
use crate::http::{Access, Gateway};
use crate::lifecycle::Lifecycle;
use crate::server::{self, ConnectionLimits};
use crate::shared::{self, AddressError, Pace, RedisTier};
use crate::upstream::{SetupError, Upstream};

/// The most connections of the admin listener, apart from the main listener's: it answers when that one is
/// full.
const ADMIN_CONNECTIONS: usize = 64;

/// Why the gateway cannot run.
#[derive(Debug, Error)]
pub enum StartError {
    /// The upstream's HTTP client cannot be built.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// The address of the shared tier cannot be used.
    #[error(transparent)]
    Shared(#[from] AddressError),
}

/// A running gateway: the parts that new settings can change without a restart.
pub struct Running {
    settings: Settings,
    access: Arc<Access>,
    gateway: Gateway,
    upstream: Arc<Upstream>,
    budget: Budget,
    tier: Option<Arc<RedisTier>>,
    mirror: Mirror,
}

/// Starts a gateway on these sockets. It runs until the lifecycle stops.
///
/// # Errors
/// [`StartError::Upstream`].
pub fn start(
    settings: &Settings,
    listeners: Listeners,
    lifecycle: &Lifecycle,
) -> Result<Running, StartError> {
    #[expect(clippy::disallowed_methods, reason = "the clock is handed in here")]
    let clock = SystemTime::now;
    let upstream = Arc::new(Upstream::new(settings, clock)?);
    let source: Arc<dyn Source> = Arc::<Upstream>::clone(&upstream);
    let tier = tier(settings)?;
    let mut budget = Budget::new(rate(&settings.budget), settings.upstream.max_in_flight, Instant::now());
    if let Some(tier) = &tier {
        budget = budget.shared(Arc::<RedisTier>::clone(tier));
    }
    budget.heed_quotas(heeded_share(&settings.budget));
    let mirror = Mirror::start(
        policy(settings),
        pacer(settings),
        settings.upstream.routes.clone(),
        settings.cache.max_bytes - unread_bytes(settings),
        budget.clone(),
        source,
        lifecycle,
    );
    let limits = ConnectionLimits {
        max_connections: settings.server.max_connections,
        header_read_timeout: settings.server.header_read_timeout,
        idle_timeout: settings.server.idle_timeout,
        write_stall_timeout: settings.server.write_stall_timeout,
    };
    let access = Arc::new(Access::new(settings, clock));
    let gateway = Gateway::new(settings, Arc::clone(&access), mirror.clone(), lifecycle);
    let answer = {
        let gateway = gateway.clone();
        move |request, place| Box::pin(gateway.clone().answer(request, place))
    };
    let known = Arc::clone(&access);
    let is_proxy = move |address| known.is_proxy(address);
    let places = Places::new(limits.max_connections, unread_bytes(settings), is_proxy);
    let main = Listener::new("main", limits);
    let connections = Arc::clone(&main.connections);
    drop(lifecycle.spawn(server::serve_counted(
        listeners.main,
        answer,
        limits,
        places,
        lifecycle.clone(),
        connections,
    )));
    if let Some(listener) = listeners.admin {
        let usability = Arc::clone(upstream.usability());
        let unusable = Box::new(move || usability.trouble());
        let shared = tier.clone();
        let sharing = Box::new(move || shared.as_deref().map(sharing::read));
        let admin =
            Admin::new(settings, gateway.clone(), budget.clone(), lifecycle.clone(), unusable, sharing);
        // The metrics include the admin listener that serves them, so that listener exists before the
        // figures.
        let figures = Arc::new(OnceLock::<Figures>::new());
        let read = Arc::clone(&figures);
        let metrics = Metrics::new(move || read.get().map(Figures::page).unwrap_or_default());
        let router = admin::router(settings, admin, metrics);
        let limits = ConnectionLimits { max_connections: ADMIN_CONNECTIONS, ..limits };
        let answer = server::routed(router);
        let admin = Listener::new("admin", limits);
        let connections = Arc::clone(&admin.connections);
        drop(lifecycle.spawn(server::serve_counted(
            listener,
            answer,
            limits,
            Places::new(ADMIN_CONNECTIONS, u64::MAX, |_| false),
            lifecycle.clone(),
            connections,
        )));
        let _ = figures.set(Figures {
            gateway: gateway.clone(),
            mirror: mirror.clone(),
            budget: budget.clone(),
            upstream: Arc::clone(upstream.counters()),
            usability: Arc::clone(upstream.usability()),
            tier: tier.clone(),
            listeners: vec![main, admin],
            started: clock(),
        });
    }
    Ok(Running { settings: settings.clone(), access, gateway, upstream, budget, tier, mirror })
}

impl Running {
    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Applies the settings that need no restart: the key, tokens, ticket secrets, `[limits]` and `[budget]`.
    /// Returns the names of the changed settings that need one.
    ///
    /// # Errors
    /// [`StartError::Upstream`] where the new key cannot be sent in a header; no setting has changed then.
    pub fn renew(&mut self, new: Settings) -> Result<Vec<String>, StartError> {
        let now = Instant::now();
        let waiting = config::changes(&self.settings, &new).into_iter().filter(|key| !is_live(key)).collect();
        if self.upstream.renew_key(&new.upstream)? {
            tracing::info!("a new API key is in use");
            self.budget.retry_key(now);
            if let Some(tier) = &self.tier {
                // What another key has brought is another group's.
                tier.rename(
                    &self.settings.shared.namespace,
                    self.settings.upstream.base_url.as_str(),
                    new.upstream.api_key.expose(),
                );
            }
            self.mirror.forgive();
        }
        let now_in_force = &mut self.settings;
        now_in_force.upstream.api_key = new.upstream.api_key;
        now_in_force.upstream.api_key_file = new.upstream.api_key_file;
        // Tokens and secrets belong to the access mode. A new mode needs a restart, and until then the old
        // ones stay.
        if now_in_force.access.mode == new.access.mode {
            self.access.renew(&new.access);
            now_in_force.access.tokens = new.access.tokens;
            now_in_force.access.token_file = new.access.token_file;
            now_in_force.access.ticket_secrets = new.access.ticket_secrets;
            now_in_force.access.ticket_secret_file = new.access.ticket_secret_file;
        }
        if now_in_force.limits != new.limits {
            self.gateway.renew_limits(&new.limits);
            now_in_force.limits = new.limits;
        }
        self.budget.set_rate(rate(&new.budget), now);
        if let Some(tier) = &self.tier {
            tier.set_rate(pace(&new.budget));
        }
        self.budget.heed_quotas(heeded_share(&new.budget));
        now_in_force.budget = new.budget;
        self.mirror.nudge();
        Ok(waiting)
    }
}

/// Whether a setting takes effect without a restart.
fn is_live(key: &str) -> bool {
    key.starts_with("limits.")
        || key.starts_with("budget.")
        || matches!(key, "access.token_file" | "access.ticket_secret_file" | "upstream.api_key_file")
}

fn rate(settings: &config::Budget) -> Rate {
    Rate { per_minute: f64::from(settings.requests_per_minute) * settings.share, burst: settings.burst() }
}

/// The rate, as all replicas share it.
fn pace(settings: &config::Budget) -> Pace {
    let Rate { per_minute, burst } = rate(settings);
    Pace { per_minute, burst }
}

/// The tier that this process shares with other replicas, if the settings name one.
fn tier(settings: &Settings) -> Result<Option<Arc<RedisTier>>, StartError> {
    let Some(redis_url) = &settings.shared.redis_url else { return Ok(None) };
    let options = shared::Options {
        redis_url: redis_url.expose(),
        namespace: &settings.shared.namespace,
        base_url: settings.upstream.base_url.as_str(),
        api_key: settings.upstream.api_key.expose(),
        replicas_hint: settings.shared.replicas_hint,
        rate: pace(&settings.budget),
        timeout: settings.upstream.timeout,
    };
    Ok(Some(Arc::new(RedisTier::new(&options)?)))
}

/// The part of a quota that polling may use, if quotas are heeded.
fn heeded_share(settings: &config::Budget) -> Option<f64> {
    settings.heed_headers.then_some(settings.share)
}

/// The part of the memory for bodies that only answers hold while they are written.
fn unread_bytes(settings: &Settings) -> u64 {
    settings.cache.max_bytes / 4
}

fn pacer(settings: &Settings) -> Pacer {
    let config::Polling { fresh_for, max_interval, learn, max_tasks, .. } = settings.polling;
    let pacing = Pacing { fresh_for, max_interval };
    if learn { Pacer::learning(pacing, pacing::MEMORY, max_tasks) } else { Pacer::fixed(pacing) }
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        retention: Retention {
            terminal_ttl: settings.cache.terminal_ttl,
            not_found_ttl: settings.cache.not_found_ttl,
            stale_for: settings.cache.stale_for,
        },
        patience: settings.polling.patience,
        gone_after: settings.polling.gone_after,
        timeout: settings.upstream.timeout,
        max_tasks: settings.polling.max_tasks,
    }
}
