//! Owns the fixtures: a gateway on real sockets, an upstream scripted by hand, and a client that shows
//! every byte.

mod client;
mod events;
mod process;
mod relay;
mod upstream;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taskgate::app::{self, Listeners, listeners};
use taskgate::config::{self, Settings, Sources};
use taskgate::lifecycle::Lifecycle;
use taskgate::sandbox::{Options, Sandbox};
use taskgate::server::{self, ConnectionLimits};

pub use client::{Answer, exchange, get, get_with, request};
pub use events::{Events, Seen};
pub use process::{Program, address, program, run, serve};
pub use relay::Relay;
pub use upstream::{ClosedPort, End, Reply, Upstream};

/// The key every test gateway holds: no test may ever see it anywhere but at the upstream.
pub const KEY: &str = "sk-canary-0123456789abcdef";

/// A gateway that asks often, waits little, and never lacks budget.
pub const QUICK: &[(&str, &str)] = &[
    ("polling.fresh_for", "100ms"),
    ("polling.max_interval", "100ms"),
    ("polling.patience", "1s"),
    ("cache.not_found_ttl", "100ms"),
    ("polling.gone_after", "0s"),
    ("budget.requests_per_minute", "100000"),
];

/// A gateway that keeps nothing for long, and never lacks budget.
pub const EAGER: &[(&str, &str)] = &[
    ("polling.fresh_for", "10ms"),
    ("polling.max_interval", "10ms"),
    ("budget.requests_per_minute", "1000000"),
    ("budget.burst", "10000"),
];

/// A gateway in this process, on ports of its own. Dropped, it is gone.
pub struct Gateway {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub lifecycle: Lifecycle,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// Settings for a gateway in front of `base_url`; `extra` are `section.key = value` as variables take them.
pub fn settings(base_url: &str, extra: &[(&str, &str)]) -> Settings {
    let mut env = vec![
        ("LEMONDATA_API_KEY".to_owned(), KEY.to_owned()),
        ("TASKGATE_ACCESS__MODE".to_owned(), "open".to_owned()),
        ("TASKGATE_SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("TASKGATE_ADMIN__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("TASKGATE_UPSTREAM__BASE_URL".to_owned(), base_url.to_owned()),
    ];
    for (name, value) in extra {
        let name = format!("TASKGATE_{}", name.replace('.', "__").to_uppercase());
        env.retain(|(known, _)| *known != name);
        env.push((name, (*value).to_owned()));
    }
    config::load(&Sources { file: None, env }).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A gateway in front of a scripted upstream.
pub async fn gateway(upstream: &Upstream, extra: &[(&str, &str)]) -> Gateway {
    gateway_at(&upstream.base_url(), extra).await
}

/// A gateway in front of `base_url`.
pub async fn gateway_at(base_url: &str, extra: &[(&str, &str)]) -> Gateway {
    gateway_of(&settings(base_url, extra)).await
}

/// A gateway with these settings.
pub async fn gateway_of(settings: &Settings) -> Gateway {
    let listeners = Listeners::bind(settings).await.unwrap();
    let address = listeners.main.local_addr().unwrap();
    let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
    let lifecycle = Lifecycle::default();
    drop(app::start(settings, listeners, &lifecycle).unwrap());
    Gateway { address, admin, lifecycle }
}

/// A sandbox that takes the tests' key, on a port of its own, and where it listens.
pub async fn sandbox(options: Options) -> (Sandbox, SocketAddr, Lifecycle) {
    let sandbox = Sandbox::new(Options { api_key: KEY.to_owned(), ..options });
    let (address, lifecycle) = serve_router(sandbox.router()).await;
    (sandbox, address, lifecycle)
}

/// The same, with this page at `/`.
pub async fn sandbox_with(options: Options, page: &'static str) -> (Sandbox, SocketAddr, Lifecycle) {
    let sandbox = Sandbox::new(Options { api_key: KEY.to_owned(), ..options });
    let (address, lifecycle) = serve_router(sandbox.router_with(page)).await;
    (sandbox, address, lifecycle)
}

/// A sandbox that serves a page, as the demo's does.
pub async fn site(page: &'static str) -> (SocketAddr, Lifecycle) {
    serve_router(Sandbox::new(Options::default()).router_with(page)).await
}

/// Looks again and again until there is something to see. Only what never comes takes the whole minute.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < limit, "it never comes to this: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a sample of `/metrics` has this value; one that is not there is 0.
pub async fn until_metric(admin: SocketAddr, sample: &str, value: u64) {
    let what = format!("{sample} {value}");
    let shown = async || {
        let page = get(admin, "/metrics").await.text();
        let shown = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        (shown.unwrap_or("0") == value.to_string()).then_some(())
    };
    until(&what, shown).await;
}

/// Waits until whatever was learnt before is fresh no longer. That shows when `clock`, a task that nobody else asks
/// for, is asked about again.
pub async fn until_stale(address: SocketAddr, upstream: &Upstream, clock: &str, headers: &str) {
    let look = async || {
        assert_eq!(get_with(address, clock, headers).await.status, 200);
        (upstream.times().iter().filter(|(_, path)| path == clock).count() > 1).then_some(())
    };
    until("the clock's task is asked about again", look).await;
}

/// A port that is free, for a program that has to be told one. The system gives none of these ports to programs that
/// ask for any.
pub fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(20_000..32_000)).find(is_free).unwrap()
}

async fn serve_router(router: axum::Router) -> (SocketAddr, Lifecycle) {
    let listener = listeners::listen("127.0.0.1:0".parse().unwrap(), "sandbox").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lifecycle = Lifecycle::default();
    let limits = ConnectionLimits {
        max_connections: 4096,
        header_read_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        write_stall_timeout: Duration::from_secs(30),
    };
    drop(lifecycle.spawn(server::serve(listener, router, limits, lifecycle.clone())));
    (address, lifecycle)
}
