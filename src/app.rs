//! Owns the composition: the only place that knows every part.

mod figures;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use self::figures::{Figures, Listener};
use crate::config::{self, Settings};
use crate::core::budget::{Budget, Rate};
use crate::core::mirror::{Mirror, Policy};
use crate::core::pacing::Pacing;
use crate::core::ports::Source;
use crate::core::snapshot::Retention;
use crate::http::admin::{Admin, Metrics};
use crate::http::{self, Access, Gateway, Hosts};
use crate::lifecycle::Lifecycle;
use crate::server::{self, Limits};
use crate::upstream::{SetupError, Upstream};

/// Connections the admin listener takes at once: it must answer when the main one is full.
const ADMIN_CONNECTIONS: usize = 64;
/// Connections that may wait to be accepted. The usual 128 are too few when a restart brings all streams back at
/// once: each client beyond them tries again after a second or more.
const BACKLOG: u32 = 4096;
/// What the kernel holds for a client that does not read (it takes twice as much). Left to itself it is 2.5 MiB on
/// loopback: a thousand such clients would fill a container.
const SEND_BUFFER: u32 = 128 * 1024;

/// Why the gateway cannot run.
#[derive(Debug, Error)]
pub enum StartError {
    /// The port is taken, or not ours to take.
    #[error(
        "cannot listen on {address}: {source}; stop what listens there, or set {setting} to another address"
    )]
    Listen {
        /// What was to be listened on.
        address: SocketAddr,
        /// The setting that says so.
        setting: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// The upstream's client.
    #[error(transparent)]
    Upstream(#[from] SetupError),
}

/// The sockets of a gateway that does not run yet.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub main: TcpListener,
    /// For operators.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the settings name.
    ///
    /// # Errors
    /// [`StartError::Listen`], naming the address and its setting.
    pub async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let main = listen(settings.server.listen, "server.listen").await?;
        let admin = match settings.admin.listen {
            Some(address) => Some(listen(address, "admin.listen").await?),
            None => None,
        };
        Ok(Self { main, admin })
    }
}

/// Binds one address; `setting` is what to name where that fails.
///
/// # Errors
/// [`StartError::Listen`].
#[expect(clippy::unused_async, reason = "it panics outside of a runtime, which an async function shows")]
pub async fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    bind(address).map_err(|source| StartError::Listen { address, setting, source })
}

#[expect(clippy::disallowed_methods, reason = "the one place that binds")]
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without it, a port is taken for a while after each restart.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A gateway at work, as far as it can be changed without a restart.
pub struct Running {
    settings: Settings,
    access: Arc<Access>,
    gateway: Gateway,
    upstream: Arc<Upstream>,
    budget: Budget,
    mirror: Mirror,
}

/// Starts a gateway on these sockets; it runs until the lifecycle stops.
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
    let upstream = Arc::new(Upstream::new(&settings.upstream, clock)?);
    let source: Arc<dyn Source> = Arc::<Upstream>::clone(&upstream);
    let budget = Budget::new(rate(&settings.budget), settings.upstream.max_in_flight, Instant::now());
    let mirror = Mirror::start(policy(settings), settings.cache.max_bytes, budget.clone(), source, lifecycle);
    let limits = Limits {
        max_connections: settings.server.max_connections,
        header_read_timeout: settings.server.header_read_timeout,
        idle_timeout: settings.server.idle_timeout,
        write_stall_timeout: settings.server.write_stall_timeout,
    };
    let access = Arc::new(Access::new(settings, clock));
    let gateway = Gateway::new(settings, Arc::clone(&access), mirror.clone(), lifecycle);
    let answer = {
        let gateway = gateway.clone();
        move |request, peer| Box::pin(gateway.clone().answer(request, peer))
    };
    let main = Listener::new("main", limits);
    let connections = Arc::clone(&main.connections);
    drop(lifecycle.spawn(server::serve_counted(
        listeners.main,
        answer,
        limits,
        lifecycle.clone(),
        connections,
    )));
    if let Some(listener) = listeners.admin {
        let admin = Admin::new(settings, gateway.clone(), budget.clone(), lifecycle.clone());
        // The page names the listener that serves it, so that one is made first.
        let figures = Arc::new(OnceLock::<Figures>::new());
        let read = Arc::clone(&figures);
        let metrics = Metrics::new(move || read.get().map(Figures::page).unwrap_or_default());
        let router = http::admin_router(admin, metrics, Hosts::for_admin(settings));
        let limits = Limits { max_connections: ADMIN_CONNECTIONS, ..limits };
        let answer = server::routed(router);
        let admin = Listener::new("admin", limits);
        let connections = Arc::clone(&admin.connections);
        drop(lifecycle.spawn(server::serve_counted(
            listener,
            answer,
            limits,
            lifecycle.clone(),
            connections,
        )));
        let _ = figures.set(Figures {
            gateway: gateway.clone(),
            mirror: mirror.clone(),
            budget: budget.clone(),
            upstream: Arc::clone(upstream.tally()),
            listeners: vec![main, admin],
            started: clock(),
        });
    }
    Ok(Running { settings: settings.clone(), access, gateway, upstream, budget, mirror })
}

impl Running {
    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes what can change at work: the key, tokens, ticket secrets, `[limits]` and `[budget]`. Names the
    /// settings that differ from those in force and need a restart.
    ///
    /// # Errors
    /// [`StartError::Upstream`], where the new key cannot be sent; nothing has changed then.
    pub fn renew(&mut self, new: Settings) -> Result<Vec<String>, StartError> {
        let now = Instant::now();
        let waiting = config::changes(&self.settings, &new).into_iter().filter(|key| !is_live(key)).collect();
        if self.upstream.renew_key(&new.upstream)? {
            tracing::info!("there is a new API key");
            self.budget.retry_key(now);
        }
        let now_in_force = &mut self.settings;
        now_in_force.upstream.api_key = new.upstream.api_key;
        now_in_force.upstream.api_key_file = new.upstream.api_key_file;
        // Tokens and secrets belong to their mode: without the restart that it needs, the old ones stay.
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
    Rate { per_minute: f64::from(settings.requests_per_minute) * settings.share, burst: settings.burst }
}

fn policy(settings: &Settings) -> Policy {
    Policy {
        pacing: Pacing { fresh_for: settings.polling.fresh_for, max_interval: settings.polling.max_interval },
        retention: Retention {
            terminal_ttl: settings.cache.terminal_ttl,
            not_found_ttl: settings.cache.not_found_ttl,
            stale_for: settings.cache.stale_for,
        },
        patience: settings.polling.patience,
        timeout: settings.upstream.timeout,
        max_tasks: settings.polling.max_tasks,
    }
}
