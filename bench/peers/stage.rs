//! Owns the things that all parts share: the directory, the cores, and the subjects that are left out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::args::Args;
use crate::client::Answer;
use crate::contender::{self, Kind, Place, Running, Setup};
use crate::cores::Cores;
use crate::process::{Process, Program};
use crate::script::Script;
use crate::{Failure, control, origin};

pub struct Stage {
    pub cores: Cores,
    directory: TempDir,
    left_out: Mutex<Vec<(Kind, String)>>,
}

/// An origin in this process, on the core for load. Dropping it ends it.
pub struct Origin {
    pub script: Arc<Script>,
    pub address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Origin {
    pub fn start() -> Result<Self, Failure> {
        let listener = control::listen("127.0.0.1:0".parse()?)?;
        let address = listener.local_addr()?;
        let script = Arc::new(Script::default());
        let mut serving = JoinSet::new();
        serving.spawn(origin::serve(listener, Arc::clone(&script)));
        Ok(Self { script, address, _serving: serving })
    }
}

impl Stage {
    pub fn set(cores: Cores) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("peers-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let stage = Self { cores, directory, left_out: Mutex::default() };
        for kind in Kind::ALL.into_iter().filter(|kind| kind.program().is_none()) {
            stage.leave_out(kind, "the program is not here; bench/peers/run says why");
        }
        Ok(stage)
    }

    /// The file with an answer of taskgate, which the controls copy.
    pub fn hit(&self) -> PathBuf {
        self.directory.path().join("hit")
    }

    /// Makes the controls copy this answer.
    pub fn copy(&self, answer: &Answer) -> std::io::Result<()> {
        std::fs::write(self.hit(), [answer.head.as_bytes(), &answer.body].concat())
    }

    /// Starts a subject; `None` if it is left out, which has been reported.
    pub async fn start(&self, kind: Kind, origin: &Origin, setup: Setup) -> Result<Option<Running>, Failure> {
        if self.left_out().iter().any(|(left_out, _)| *left_out == kind) {
            return Ok(None);
        }
        let directory =
            tempfile::Builder::new().prefix(kind.name()).tempdir_in(self.directory.path())?.keep();
        let hit = self.hit();
        let place =
            Place { directory: &directory, core: self.cores.server, origin: origin.address, hit: &hit };
        match kind.start(&place, setup).await {
            Ok(running) => Ok(Some(running)),
            Err(error) if kind.is_others() => {
                self.leave_out(kind, &error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts those of these subjects that are not left out.
    pub async fn start_all(
        &self,
        kinds: &[Kind],
        origin: &Origin,
        setup: Setup,
    ) -> Result<Vec<Running>, Failure> {
        let mut running = Vec::new();
        for kind in kinds {
            running.extend(self.start(*kind, origin, setup).await?);
        }
        Ok(running)
    }

    /// A process on the core for load that fills the caches which the cores share, until it is dropped.
    pub fn neighbour(&self) -> Result<Process, Failure> {
        let program = Program {
            path: &std::env::current_exe()?,
            arguments: ["role", "neighbour"].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            directory: self.directory.path(),
        };
        Process::spawn(&program, self.cores.load)
    }

    fn leave_out(&self, kind: Kind, why: &str) {
        progress(&format!("!! LEFT OUT: {}: {why}", kind.name()));
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push((kind, why.to_owned()));
    }

    fn left_out(&self) -> Vec<(Kind, String)> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines below the tables: machine, versions, and the contenders that are left out.
    pub fn told(&self, args: &Args) -> String {
        let first = |path: &str, start: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
            line.trim_matches([' ', '\t', ':', '"']).to_owned()
        };
        let versions: Vec<String> = Kind::ALL.into_iter().filter_map(version).collect();
        let mut text = format!(
            "- {}, core {} serves, core {} loads; {}, Linux {}; {}; {} rounds{}.\n",
            first("/proc/cpuinfo", "model name"),
            self.cores.server,
            self.cores.load,
            first("/etc/os-release", "PRETTY_NAME="),
            first("/proc/sys/kernel/osrelease", ""),
            versions.join(", "),
            args.rounds,
            if args.quick { ", quick: these figures mean nothing" } else { "" },
        );
        for (kind, why) in self.left_out() {
            let why = why.lines().next().unwrap_or_default().to_owned();
            text.push_str(&format!("- **Left out: {}**: {why}\n", kind.name()));
        }
        text
    }
}

/// Name and version of a program, such as `nginx 1.22.1`.
fn version(kind: Kind) -> Option<String> {
    let output =
        Command::new(kind.program()?).arg(kind.version_flag()?).envs(contender::libraries()).output().ok()?;
    let text = [output.stderr, output.stdout].concat();
    let text = String::from_utf8_lossy(&text);
    let number = text
        .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .find(|word| word.contains('.') && word.starts_with(|letter: char| letter.is_ascii_digit()))?;
    Some(format!("{} {number}", kind.name()))
}

#[expect(clippy::print_stderr, reason = "a run takes minutes: the user sees its progress")]
pub fn progress(text: &str) {
    eprintln!("bench/peers: {text}");
}
