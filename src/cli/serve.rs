//! Owns `taskgate serve`: the life of a gateway from its settings to a clean shutdown.

use std::path::Path;
use std::sync::Arc;

use super::command_error::CommandError;
use super::signals::{self, Stop};
use super::surroundings::Surroundings;
use super::{open_files, reload};
use crate::app::{self, Listeners};
use crate::config::{self, Settings};
use crate::lifecycle::Lifecycle;
use crate::telemetry;

pub(super) async fn run(flag: Option<&Path>, surroundings: Surroundings) -> Result<(), CommandError> {
    let settings = config::load(&surroundings.sources(flag)?)?;
    let seen = reload::seen(&settings).await;
    let _log = telemetry::log::start(&settings.log);
    let settings = open_files::reserve(settings);
    let (stop, hangup) = (Stop::listen()?, signals::hangup()?);
    let lifecycle = Lifecycle::default();
    let listeners = Listeners::bind(&settings).await?;
    announce(&settings, &listeners)?;
    let running = app::start(&settings, listeners, &lifecycle)?;
    let flag = flag.map(Path::to_owned);
    let load = Arc::new(move || {
        config::load_again(&surroundings.sources(flag.as_deref())?).map(open_files::reserve)
    });
    lifecycle.spawn_background(reload::run(running, seen, hangup, lifecycle.clone(), load));
    stop.asked().await;
    tracing::info!(grace_s = settings.server.shutdown_grace.as_secs_f64(), "stopping");
    lifecycle.stop();
    if !lifecycle.drained(settings.server.shutdown_grace).await {
        tracing::warn!("some requests were still under way after server.shutdown_grace");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Logs the addresses of the listeners, the upstream and the access mode.
pub(super) fn announce(settings: &Settings, listeners: &Listeners) -> Result<(), CommandError> {
    let admin = match &listeners.admin {
        Some(admin) => admin.local_addr()?.to_string(),
        None => "off".to_owned(),
    };
    tracing::info!(
        listen = %listeners.main.local_addr()?,
        %admin,
        upstream = %settings.upstream.base_url,
        access = ?settings.access.mode,
        "taskgate {} is ready",
        env!("CARGO_PKG_VERSION"),
    );
    Ok(())
}
