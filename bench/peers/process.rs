//! Owns a measured process: pinned to a core, measured with its children, and ended when dropped.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Failure;

/// The unit of utime and stime in /proc: a hundredth of a second on every Linux that Rust runs on.
const TICK_MICROS: u64 = 10_000;

pub struct Process {
    child: Child,
    log: PathBuf,
}

/// A process of the family. `started` tells it from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    id: u32,
    parent: u32,
    ticks: u64,
    started: u64,
}

/// A program, its arguments and its surroundings.
pub struct Program<'p> {
    pub path: &'p Path,
    pub arguments: Vec<String>,
    /// The whole environment, besides `PATH`.
    pub environment: Vec<(String, String)>,
    pub directory: &'p Path,
}

impl Process {
    pub fn spawn(program: &Program<'_>, core: usize) -> Result<Self, Failure> {
        let log = program.directory.join("log");
        let file = File::create(&log)?;
        // If this process is killed, the kernel sends its children SIGTERM, and they end theirs.
        let child = Command::new("/usr/bin/setpriv")
            .args(["--pdeathsig", "TERM", "/usr/bin/taskset", "--cpu-list", &core.to_string()])
            .arg(program.path)
            .args(&program.arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(program.directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// `Some(true)` after a success; `None` while the process runs.
    pub fn ended(&mut self) -> Option<bool> {
        self.child.try_wait().ok().flatten().map(|status| status.success())
    }

    /// The output of the process.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// User and system time of the whole family so far.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.family().iter().map(|member| member.ticks).sum::<u64>() * TICK_MICROS)
    }

    /// Resident memory of the whole family, in bytes. Memory that its members share is counted once: of files
    /// and of shared memory, as much as one member has mapped at most.
    pub fn resident(&self) -> u64 {
        let (mut own, mut files, mut shared) = (0, 0, 0);
        for member in self.family() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", member.id)).unwrap_or_default();
            let kib = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
                    .unwrap_or_default()
            };
            own += kib("RssAnon:");
            files = kib("RssFile:").max(files);
            shared = kib("RssShmem:").max(shared);
        }
        (own + files + shared) * 1024
    }

    /// The process and all its descendants.
    fn family(&self) -> Vec<Member> {
        let all: Vec<Member> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| Member::read(&entry.ok()?.file_name()))
            .collect();
        let mut ids = HashSet::from([self.child.id()]);
        loop {
            let before = ids.len();
            ids.extend(
                all.iter()
                    .filter(|member| ids.contains(&member.parent))
                    .map(|member| member.id)
                    .collect::<Vec<_>>(),
            );
            if ids.len() == before {
                return all.into_iter().filter(|member| ids.contains(&member.id)).collect();
            }
        }
    }

    fn wait(&mut self, limit: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while self.ended().is_none() {
            if waited >= limit {
                return false;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "in a drop nothing can be awaited, and main runs nothing else"
            )]
            std::thread::sleep(STEP);
            waited += STEP;
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let family = self.family();
        signal("TERM", self.child.id());
        self.wait(Duration::from_secs(3));
        for member in family {
            let now = Member::read(OsStr::new(&member.id.to_string()));
            if now.is_some_and(|now| now.started == member.started) {
                signal("KILL", member.id);
            }
        }
        self.wait(Duration::from_secs(3));
    }
}

impl Member {
    fn read(id: &OsStr) -> Option<Self> {
        let id = id.to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field, a name in brackets, may hold any character; the third begins behind it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            id,
            parent: number(4)?.try_into().ok()?,
            ticks: number(14)? + number(15)?,
            started: number(22)?,
        })
    }
}

/// Sends a signal by the shell's `kill`: std sends only SIGKILL.
fn signal(name: &str, id: u32) {
    let _ =
        Command::new("/bin/sh").arg("-c").arg(format!("kill -{name} {id}")).stderr(Stdio::null()).status();
}
