//! Owns when settings are read again: at SIGHUP, and when the file of the key, the tokens or the ticket
//! secrets changes. No connection is dropped; what cannot be read leaves everything as it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::signal::unix::Signal;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use crate::app::Running;
use crate::config::{Faults, Settings};
use crate::lifecycle::Lifecycle;

/// How often the files are looked at. Looking and not inotify: mounted secrets are exchanged in ways that it
/// does not tell.
const LOOK: Duration = Duration::from_secs(1);
/// How soon what could not be read is tried again: the reason may be a passing one.
const TRY_AGAIN: Duration = Duration::from_secs(15);

/// What tells one version of a file from another; `None` where there is none.
type Print = Option<(SystemTime, u64, u64)>;

/// Reads settings; on a thread of its own, as a file may be slow.
type Load = Arc<dyn Fn() -> Result<Settings, Faults> + Send + Sync>;

/// How files looked at one moment.
pub(super) struct Seen(Vec<Print>);

/// What is read again, and what of it was read last.
struct Reloader {
    running: Running,
    load: Load,
    lifecycle: Lifecycle,
    /// The files as they were before they were read last with success.
    known: Vec<Print>,
    fault: Option<ReadFault>,
}

/// What was wrong when the files were read last.
struct ReadFault {
    /// In words, told once.
    told: String,
    /// The files as they were then: others are worth a try at once.
    of: Vec<Print>,
    again: Instant,
}

/// How the files of these settings look now. To be asked for as soon as they are read: what changes later is to be
/// read again.
pub(super) async fn seen(settings: &Settings) -> Seen {
    Seen(prints(&files(settings)).await)
}

/// Reads again whenever there is a reason to, as long as it runs.
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
        // Seen twice: whoever writes it has finished.
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

    /// `seen` is how the files looked before: what is written while they are read is a change once more.
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
                        "the settings were read again and are at fault; the old ones stay in force, and with \
                         them every token and secret of before:\n{fault}"
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
