//! Owns the parts that the main listener's handlers share.

use std::sync::Arc;

use tokio::time::{Duration, Instant, sleep};
use tower_http::cors::CorsLayer;

use super::guards::access::Access;
use super::guards::cors;
use super::guards::host::Hosts;
use super::guards::limits::ClientLimits;
use super::guards::method::Methods;
use super::guards::origin::AllowedOrigins;
use super::guards::streams::Streams;
use super::request_log::RequestCounters;
use super::respond::error::Error;
use crate::config::{self, Settings};
use crate::core::answer::Refusal;
use crate::core::content::Downloads;
use crate::core::mirror::Mirror;
use crate::core::task::Routes;
use crate::lifecycle::Lifecycle;

/// The main listener's handlers. Clones share the same parts.
#[derive(Clone)]
pub struct Gateway(pub(super) Arc<Parts>);

pub(super) struct Parts {
    pub(super) mirror: Mirror,
    pub(super) routes: Routes,
    pub(super) content_routes: Routes,
    pub(super) downloads: Downloads,
    pub(super) access: Arc<Access>,
    pub(super) limits: ClientLimits,
    pub(super) streams: Streams,
    pub(super) counters: Arc<RequestCounters>,
    pub(super) lifecycle: Lifecycle,
    pub(super) patience: Duration,
    pub(super) max_wait: Duration,
    /// The time after the stop for which a request may still wait for its answer.
    last_call: Duration,
    pub(super) hosts: Hosts,
    pub(super) origins: Arc<AllowedOrigins>,
    pub(super) cors: CorsLayer,
    pub(super) methods: Methods,
    pub(super) log_access: bool,
}

impl Gateway {
    /// A gateway with these settings.
    pub fn new(settings: &Settings, access: Arc<Access>, mirror: Mirror, lifecycle: &Lifecycle) -> Self {
        let counters = Arc::new(RequestCounters::new(Instant::now()));
        let origins = Arc::new(AllowedOrigins::new(settings));
        let gateway = Self(Arc::new(Parts {
            mirror,
            routes: settings.upstream.routes.clone(),
            content_routes: settings.upstream.content_routes.clone(),
            downloads: Downloads::new(settings.content.max_downloads, settings.limits.max_downloads),
            access,
            limits: ClientLimits::new(&settings.limits, Arc::clone(&counters)),
            streams: Streams::new(settings, lifecycle.clone(), Arc::clone(&counters)),
            counters,
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
        // One timer for all requests: thousands may wait for one task.
        let parts = Arc::clone(&gateway.0);
        lifecycle.spawn_background(async move {
            parts.last_call().await;
            parts.mirror.last_call();
        });
        gateway
    }

    /// Replaces the limits per client.
    pub fn renew_limits(&self, settings: &config::Limits) {
        self.0.limits.renew(settings);
        self.0.streams.renew(settings);
        self.0.downloads.renew(settings.max_downloads);
    }

    /// The counters of requests and answers since the start.
    pub fn counters(&self) -> &Arc<RequestCounters> {
        &self.0.counters
    }

    /// The downloads under way, and those that have ended.
    pub fn downloads(&self) -> &Downloads {
        &self.0.downloads
    }

    /// The number of open streams.
    pub fn open_streams(&self) -> u64 {
        self.0.streams.count()
    }
}

impl Parts {
    /// There is no place, or no room, for this client.
    pub(super) fn overloaded(&self) -> Error {
        Error::Refused(Refusal::overloaded(self.patience))
    }

    /// Resolves at the moment in a drain after which an answer might not be written before the process ends.
    pub(super) async fn last_call(&self) {
        self.lifecycle.stopped().await;
        sleep(self.last_call).await;
    }
}
