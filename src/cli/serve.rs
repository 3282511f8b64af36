//! Owns `taskgate serve`: from settings to a clean end.

use std::path::Path;

use super::{CommandError, Surroundings, reload, signals};
use crate::app::{self, Listeners};
use crate::config::{self, Settings};
use crate::lifecycle::Lifecycle;
use crate::telemetry;

pub(super) async fn run(flag: Option<&Path>, surroundings: Surroundings) -> Result<(), CommandError> {
    let settings = config::load(&surroundings.sources(flag)?)?;
    telemetry::start_logs(&settings.log);
    raise_open_files(settings.server.max_connections);
    let lifecycle = Lifecycle::default();
    let listeners = Listeners::bind(&settings).await?;
    announce(&settings, &listeners)?;
    let running = app::start(&settings, listeners, &lifecycle)?;
    let hangup = signals::hangup()?;
    let flag = flag.map(Path::to_owned);
    lifecycle.spawn_background(reload::run(running, hangup, move || {
        config::load(&surroundings.sources(flag.as_deref())?)
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

/// A socket is a file: asks for as many as the connections need, and says so where the system allows fewer.
fn raise_open_files(connections: usize) {
    // Upstream connections, logs, listeners.
    const SPARE: u64 = 256;
    let wanted = connections as u64 + SPARE;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(allowed) if allowed < wanted => tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than server.max_connections needs: raise the limit \
             (ulimit -n, LimitNOFILE in systemd) or lower the setting"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be read"),
    }
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
