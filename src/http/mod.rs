//! Owns what clients see: routes, rules and headers.
//!
//! The way of every request is in [`front`], and that of a status request in [`status`]: each step is a line there.

mod access;
pub mod admin;
mod cancel;
mod code;
mod content;
mod cors;
mod error;
mod events;
mod forwarded;
mod front;
mod host;
mod if_none_match;
mod limits;
mod list;
mod method;
mod note;
mod openapi;
mod origin;
mod proxy_hint;
mod render;
mod request_id;
mod seal;
pub mod sse;
mod status;
mod streams;
mod tally;
mod way;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::get;
use tokio::time::{Duration, Instant, sleep};
use tower_http::cors::CorsLayer;

pub use self::access::Access;
pub use self::host::Hosts;
use self::limits::Limits;
use self::method::Methods;
use self::origin::Origins;
use self::streams::Streams;
pub use self::tally::Tally;
use crate::config::{self, Settings};
use crate::core::mirror::Mirror;
use crate::core::task::Routes;
use crate::lifecycle::Lifecycle;

/// A request without its body: nothing on the main listener reads one.
type Head = http::Request<()>;

/// What the handlers share. A clone is another handle to it.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

struct Parts {
    mirror: Mirror,
    routes: Routes,
    access: Arc<Access>,
    limits: Limits,
    streams: Streams,
    tally: Arc<Tally>,
    lifecycle: Lifecycle,
    patience: Duration,
    max_wait: Duration,
    /// How long after the stop a request may still wait for its answer.
    last_call: Duration,
    hosts: Hosts,
    origins: Arc<Origins>,
    cors: CorsLayer,
    methods: Methods,
    log_access: bool,
}

impl Gateway {
    /// Takes what it needs of the settings.
    pub fn new(settings: &Settings, access: Arc<Access>, mirror: Mirror, lifecycle: &Lifecycle) -> Self {
        let tally = Arc::new(Tally::new(Instant::now()));
        let origins = Arc::new(Origins::new(settings));
        let gateway = Self(Arc::new(Parts {
            mirror,
            routes: settings.upstream.routes.clone(),
            access,
            limits: Limits::new(&settings.limits, Arc::clone(&tally)),
            streams: Streams::new(settings, lifecycle.clone(), Arc::clone(&tally)),
            tally,
            lifecycle: lifecycle.clone(),
            patience: settings.polling.patience,
            max_wait: settings.polling.max_wait,
            last_call: settings.server.shutdown_grace * 3 / 4,
            hosts: Hosts::new(settings),
            cors: cors::layer(Arc::clone(&origins)),
            origins,
            methods: Methods {
                cancelling: settings.access.allow_cancel,
                create_at: settings.upstream.base_url.as_str().trim_end_matches('/').to_owned(),
            },
            log_access: settings.log.access,
        }));
        // One for all: for each of the many who wait for a task, waiting for this too would cost.
        let parts = Arc::clone(&gateway.0);
        lifecycle.spawn_background(async move {
            parts.last_call().await;
            parts.mirror.last_call();
        });
        gateway
    }

    /// Takes other limits per client.
    pub fn renew_limits(&self, settings: &config::Limits) {
        self.0.limits.renew(settings);
        self.0.streams.renew(settings);
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.0.tally
    }

    /// Streams that are open just now.
    pub fn open_streams(&self) -> u64 {
        self.0.streams.count()
    }
}

impl Parts {
    /// The moment in a drain after which an answer would not be out before the process is gone.
    async fn last_call(&self) {
        self.lifecycle.stopped().await;
        sleep(self.last_call).await;
    }
}

/// The admin listener's routes and layers.
pub fn admin_router(state: admin::Admin, metrics: admin::Metrics, hosts: Hosts) -> Router {
    Router::new()
        .route("/livez", get(admin::livez))
        .route("/readyz", get(admin::readyz))
        .route("/openapi.json", get(admin::openapi))
        .route("/metrics", get(admin::metrics).with_state(metrics))
        .merge(admin::guarded())
        .fallback(admin::unknown)
        .with_state(state)
        .layer(from_fn_with_state(hosts, host::layer))
        .layer(map_response(seal::sealed))
}
