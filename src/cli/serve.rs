//! Owns `taskgate serve`: from settings to a clean end.

use std::path::Path;

use super::{CommandError, Surroundings, open_files, reload, signals};
use crate::app::{self, Listeners};
use crate::config::{self, Settings};
use crate::lifecycle::Lifecycle;
use crate::telemetry;

pub(super) async fn run(flag: Option<&Path>, surroundings: Surroundings) -> Result<(), CommandError> {
    let settings = config::load(&surroundings.sources(flag)?)?;
    telemetry::start_logs(&settings.log);
    let settings = open_files::reserve(settings);
    let lifecycle = Lifecycle::default();
    let listeners = Listeners::bind(&settings).await?;
    announce(&settings, &listeners)?;
    let running = app::start(&settings, listeners, &lifecycle)?;
    let hangup = signals::hangup()?;
    let flag = flag.map(Path::to_owned);
    lifecycle.spawn_background(reload::run(running, hangup, move || {
        config::load(&surroundings.sources(flag.as_deref())?).map(open_files::reserve)
    }));
    signals::until_asked_to_stop().await?;
    tracing::info!(grace_s = settings.server.shutdown_grace.as_secs_f64(), "stopping");
    lifecycle.stop();
    if !lifecycle.drained(settings.server.shutdown_grace).await {
        tracing::warn!("some requests were still under way after server.shutdown_grace");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Says where it listens, and for whom it asks.
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
