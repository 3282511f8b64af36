//! Owns when settings are read again: at SIGHUP, and when the file of the key, the tokens or the ticket
//! secrets changes. No connection is dropped; what cannot be read leaves everything as it was.

use std::path::PathBuf;
use std::time::SystemTime;

use tokio::signal::unix::Signal;
use tokio::time::{Duration, MissedTickBehavior, interval};

use crate::app::Running;
use crate::config::{Faults, Settings};

/// How often the files are looked at. Looking and not inotify: mounted secrets are exchanged in ways that it
/// does not tell.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one version of a file from another.
type Print = Option<(SystemTime, u64, u64)>;

/// Reads again whenever there is a reason to, as long as it runs.
pub(super) async fn run(
    mut running: Running,
    mut hangup: Signal,
    load: impl Fn() -> Result<Settings, Faults> + Send,
) {
    let mut files = files(running.settings());
    let mut known = prints(&files).await;
    let mut last = known.clone();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_asked = tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let seen = prints(&files).await;
        // Seen twice: whoever writes it has finished.
        let has_changed = seen != known && seen == last;
        last.clone_from(&seen);
        if is_asked || has_changed {
            read_again(&mut running, &load);
            files = self::files(running.settings());
            known = prints(&files).await;
            last.clone_from(&known);
        }
    }
}

fn read_again(running: &mut Running, load: impl Fn() -> Result<Settings, Faults>) {
    let settings = match load() {
        Ok(settings) => settings,
        Err(faults) => {
            tracing::error!("the settings were read again and are at fault; the old ones stay:\n{faults}");
            return;
        }
    };
    match running.renew(settings) {
        Ok(later) if later.is_empty() => tracing::info!("the settings were read again"),
        Ok(later) => tracing::warn!(
            settings = later.join(" "),
            "the settings were read again; these differ and need a restart"
        ),
        Err(error) => tracing::error!(%error, "the settings were read again; the old ones stay"),
    }
}

fn files(settings: &Settings) -> Vec<PathBuf> {
    let files =
        [&settings.upstream.api_key_file, &settings.access.token_file, &settings.access.ticket_secret_file];
    files.into_iter().flatten().cloned().collect()
}

async fn prints(files: &[PathBuf]) -> Vec<Print> {
    let mut prints = Vec::new();
    for file in files {
        prints.push(print(file).await);
    }
    prints
}

async fn print(file: &PathBuf) -> Print {
    use std::os::unix::fs::MetadataExt as _;
    let data = tokio::fs::metadata(file).await.ok()?;
    Some((data.modified().ok()?, data.len(), data.ino()))
}
