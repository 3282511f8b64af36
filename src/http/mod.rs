//! Owns what clients see: routes, rules and headers.
//!
//! Every request passes the layers below from the last to the first, then one handler. The way of a
//! status request is in [`status`]: each of its steps is a line there.

mod access;
pub mod admin;
mod cancel;
mod code;
mod cors;
mod error;
mod events;
mod forwarded;
mod host;
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
use axum::routing::{any, get};
use tokio::time::{Duration, Instant};

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
    origins: Origins,
    methods: Methods,
    log_access: bool,
}

impl Gateway {
    /// Takes what it needs of the settings.
    pub fn new(settings: &Settings, access: Arc<Access>, mirror: Mirror, lifecycle: &Lifecycle) -> Self {
        let tally = Arc::new(Tally::new(Instant::now()));
        Self(Arc::new(Parts {
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
            origins: Origins::new(settings),
            methods: Methods {
                cancelling: settings.access.allow_cancel,
                create_at: settings.upstream.base_url.as_str().trim_end_matches('/').to_owned(),
            },
            log_access: settings.log.access,
        }))
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

    /// The main listener's routes and layers.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/livez", get(admin::livez))
            .route("/v1/tasks", any(list::read))
            // Every configured status path: judged on raw bytes, which axum's own routes decode.
            .fallback(status::read)
            .with_state(self.clone())
            .layer(cors::layer(self))
            .layer(from_fn_with_state(self.clone(), origin::check))
            .layer(from_fn_with_state(self.0.hosts.clone(), host::check))
            .layer(from_fn_with_state(self.clone(), request_id::carry))
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
        .layer(from_fn_with_state(hosts, host::check))
        .layer(map_response(seal::sealed))
}
