//! Owns the reload of the settings: at SIGHUP, and when the file of the key, the tokens or the ticket secrets
//! changes. No connection is closed, and after a failed reload the old settings stay in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::signal::unix::Signal;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use crate::app::Running;
use crate::config::{Faults, Settings};
use crate::lifecycle::Lifecycle;

/// The interval between two looks at the files. inotify would miss some ways of replacing mounted secrets.
const LOOK: Duration = Duration::from_secs(1);
/// The time after a failed reload until the next attempt: the cause may be temporary.
const TRY_AGAIN: Duration = Duration::from_secs(15);

/// Modification time, size and inode of a file, which differ between its versions; `None` without a file.
type Print = Option<(SystemTime, u64, u64)>;

/// Reads the settings. It blocks, so it runs on a blocking thread.
type Load = Arc<dyn Fn() -> Result<Settings, Faults> + Send + Sync>;

/// The files at one moment.
pub(super) struct Seen(Vec<Print>);

/// The running gateway, and the result of the last reload.
struct Reloader {
    running: Running,
    load: Load,
    lifecycle: Lifecycle,
    /// The files just before the last successful read.
    known: Vec<Print>,
    fault: Option<ReadFault>,
}

/// The failure of the last reload.
struct ReadFault {
    /// The message, which is logged once.
    told: String,
    /// The files just before it: if they change, the next attempt is made at once.
    of: Vec<Print>,
    /// The time of the next attempt if they do not change.
    again: Instant,
}

/// The files of these settings as they are now. Call it just after reading the settings: a later change leads
/// to a reload.
pub(super) async fn seen(settings: &Settings) -> Seen {
    Seen(prints(&files(settings)).await)
}

/// Reloads the settings at SIGHUP and after changes of the files. Never ends.
pub(super) async fn run(
    running: Running,
    Seen(known): Seen,
    mut hangup: Signal,
    lifecycle: Lifecycle,
    load: Load,
) {
    let mut last = known.clone();
    let mut reloader = Reloader { running, load, lifecycle, known, fault: None };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_asked = tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let seen = prints(&files(reloader.running.settings())).await;
        // Two equal looks in a row: the write is over.
        let has_changed = seen != reloader.known && seen == last;
        if is_asked || (has_changed && reloader.may_try(&seen)) {
            reloader.read_again(seen.clone()).await;
        }
        last = seen;
    }
}

impl Reloader {
    fn may_try(&self, seen: &[Print]) -> bool {
        self.fault.as_ref().is_none_or(|fault| fault.of != seen || fault.again <= Instant::now())
    }

    /// `seen` is from before the read, so that a write during the read counts as another change.
    async fn read_again(&mut self, seen: Vec<Print>) {
        let load = Arc::clone(&self.load);
        let Some(result) = self.lifecycle.blocking(move || load()).await else { return };
        let result = match result {
            Ok(settings) => self.running.renew(settings).map_err(|error| error.to_string()),
            Err(faults) => Err(faults.to_string()),
        };
        match result {
            Ok(later) => {
                self.known = seen;
                self.fault = None;
                if later.is_empty() {
                    tracing::info!("the settings were read again");
                } else {
                    let settings = later.join(" ");
                    tracing::warn!(settings, "the settings were read again; these differ and need a restart");
                }
            }
            Err(fault) => {
                if self.fault.as_ref().is_none_or(|known| known.told != fault) {
                    tracing::error!(
                        "the settings were read again and are at fault; the old ones stay in force, with all \
                         their tokens and secrets:\n{fault}"
                    );
                }
                self.fault = Some(ReadFault { told: fault, of: seen, again: Instant::now() + TRY_AGAIN });
            }
        }
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
