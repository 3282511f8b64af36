//! Owns the compared subjects: their start, arguments and environment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use taskgate::core::token;
use tokio::time::{Duration, Instant, sleep, timeout};

use taskgate_bench::{program, root};

use crate::Failure;
use crate::client::{Connection, Door};
use crate::hubs;
use crate::process::{Process, Program};
use crate::script::KEY;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Taskgate,
    Nginx,
    Haproxy,
    Varnish,
    /// nginx with nchan.
    Nchan,
    Pushpin,
    /// Bare hyper: with one constant answer, or with the events that are published to it.
    Ceiling,
    /// Bare axum and moka.
    Lookup,
    /// Bare axum and reqwest.
    Pass,
    /// The origin itself.
    Direct,
}

/// Switches off every record that Varnish would write to its log in memory for a request.
const VARNISH_QUIET: &str = "vsl_mask=-Begin,-End,-Link,-Timestamp,-SessOpen,-SessClose,-ReqStart,-ReqMethod,-ReqURL,-ReqProtocol,-ReqHeader,-ReqUnset,-ReqAcct,-RespProtocol,-RespStatus,-RespReason,-RespHeader,-RespUnset,-Hit,-VCL_call,-VCL_return";

/// The token that taskgate demands of its clients by default.
const TOKEN: &str = "Bearer tg_jGQyWcR5mZ8nXv3sT7bKqLd2hYf4pA6e";

pub type Environment = Vec<(String, String)>;

/// The set-up of a subject for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// taskgate with its defaults; the peers with the files beside this one.
    Ordinary,
    /// The same, with bare hyper in the place of the origin.
    Together,
    /// taskgate with this rate limit of its key, in requests a minute.
    Budget(u32),
    /// Streams of thousands of clients, and a budget that suffices to look at all tasks at once.
    Push,
    /// Caches with room for this number of tasks, and a budget that suffices to fetch them.
    Large(usize),
}

/// The surroundings of a contender.
pub struct Place<'p> {
    pub directory: &'p Path,
    pub core: usize,
    pub origin: SocketAddr,
    /// The file with an answer of taskgate, which the controls copy.
    pub hit: &'p Path,
}

/// A running contender.
pub struct Running {
    pub kind: Kind,
    pub door: Door,
    /// The address to which changes are published.
    pub publish: SocketAddr,
    pub process: Process,
    pub directory: PathBuf,
    /// From the start of the process to its first answer with a task.
    pub ready_after: Duration,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Taskgate,
        Self::Nginx,
        Self::Haproxy,
        Self::Varnish,
        Self::Nchan,
        Self::Pushpin,
        Self::Ceiling,
        Self::Lookup,
        Self::Pass,
        Self::Direct,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Taskgate => "taskgate",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Varnish => "Varnish",
            Self::Nchan => "nchan",
            Self::Pushpin => "Pushpin",
            Self::Ceiling => "bare hyper",
            Self::Lookup => "bare axum + moka",
            Self::Pass => "bare axum + reqwest",
            Self::Direct => "the origin, direct",
        }
    }

    /// A program that may be missing, or may not start.
    pub fn is_others(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy | Self::Varnish | Self::Nchan | Self::Pushpin)
    }

    /// The path of the program; `None` if it is missing.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Taskgate => program().ok(),
            Self::Nginx => find("nginx"),
            Self::Haproxy => find("haproxy"),
            Self::Varnish => find("varnishd"),
            Self::Nchan => find("nginx").filter(|_| hubs::nchan_module().is_some()),
            Self::Pushpin => find("pushpin"),
            Self::Ceiling | Self::Lookup | Self::Pass | Self::Direct => std::env::current_exe().ok(),
        }
    }

    /// The credentials that clients need: the peers need none.
    fn credentials(self) -> Option<&'static str> {
        match self {
            Self::Taskgate => Some(TOKEN),
            // Pushpin passes them on to the origin.
            Self::Direct | Self::Pushpin => Some(KEY),
            Self::Nginx | Self::Haproxy | Self::Varnish | Self::Nchan => None,
            Self::Ceiling | Self::Lookup | Self::Pass => None,
        }
    }

    /// The flag for the version of the program.
    pub fn version_flag(self) -> Option<&'static str> {
        match self {
            Self::Nginx | Self::Haproxy => Some("-v"),
            Self::Varnish => Some("-V"),
            Self::Pushpin => Some("--version"),
            // Its program is nginx, which does not know the version of its module.
            Self::Nchan => None,
            Self::Taskgate | Self::Ceiling | Self::Lookup | Self::Pass | Self::Direct => None,
        }
    }

    /// Starts the subject, and waits until it answers.
    pub async fn start(self, place: &Place<'_>, setup: Setup) -> Result<Running, Failure> {
        let mut last = None;
        for _ in 0..3 {
            match self.try_to_start(place, setup).await {
                Ok(running) => return Ok(running),
                // Another process may have taken the port meanwhile.
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| "not tried".into()))
    }

    async fn try_to_start(self, place: &Place<'_>, setup: Setup) -> Result<Running, Failure> {
        let address = free_address()?;
        let path = self.program().ok_or_else(|| format!("{} is not here", self.name()))?;
        // All but Pushpin take publications at the port of the clients.
        let publish = if self == Self::Pushpin { free_address()? } else { address };
        let (arguments, environment) = self.command(place, address, publish, setup)?;
        let program = Program { path: &path, arguments, environment, directory: place.directory };
        let begun = Instant::now();
        let mut process = Process::spawn(&program, place.core)?;
        let door = Door { address, credentials: self.credentials() };
        while !answers(door).await {
            if process.ended().is_some() || begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("{} does not start:\n{}", self.name(), process.said()).into());
            }
            sleep(Duration::from_millis(1)).await;
        }
        let ready_after = begun.elapsed();
        Ok(Running { kind: self, door, publish, process, directory: place.directory.to_owned(), ready_after })
    }

    /// Arguments and environment of the process.
    fn command(
        self,
        place: &Place<'_>,
        address: SocketAddr,
        publish: SocketAddr,
        setup: Setup,
    ) -> Result<(Vec<String>, Environment), Failure> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let ports = [("127.0.0.1:8787", address.to_string()), ("127.0.0.1:8788", place.origin.to_string())];
        let (listen, origin) = (address.to_string(), place.origin.to_string());
        let hit = place.hit.display().to_string();
        Ok(match self {
            Self::Taskgate => (words(&["serve"]), taskgate_environment(&listen, &origin, place, setup)?),
            Self::Nginx => {
                let file = adapted("nginx.conf", place.directory, &ports)?;
                (words(&["-p", ".", "-e", "stderr", "-c", &file]), Vec::new())
            }
            Self::Haproxy => {
                let mib = match setup {
                    // A task takes about three blocks of 1 KiB.
                    Setup::Large(tasks) => (tasks * 3 / 1024).clamp(256, 4095),
                    Setup::Ordinary | Setup::Together | Setup::Push | Setup::Budget(_) => 256,
                };
                let size = ("total-max-size 256", format!("total-max-size {mib}"));
                let [listen, origin] = ports;
                let file = adapted("haproxy.cfg", place.directory, &[listen, origin, size])?;
                (words(&["-db", "-f", &file]), libraries())
            }
            Self::Varnish => {
                let port = (".port = \"8788\"", format!(".port = \"{}\"", place.origin.port()));
                let file = adapted("varnish.vcl", place.directory, &[port])?;
                let storage = match setup {
                    Setup::Large(_) => "malloc,8g",
                    Setup::Ordinary | Setup::Together | Setup::Push | Setup::Budget(_) => "malloc,256m",
                };
                let state = place.directory.join("varnish").display().to_string();
                let vmods = format!("vmod_path={}", vmods());
                // In the foreground, without control port and without jail, which needs users that an
                // unpacked package does not create. The queue and the pool are those of the others. No log:
                // each request would write it.
                let mut arguments = words(&["-F", "-j", "none", "-T", "none", "-a", &listen, "-f", &file]);
                arguments.extend(words(&["-s", storage, "-n", &state, "-p", &vmods]));
                for parameter in ["thread_pools=1", "listen_depth=4096", VARNISH_QUIET, "timeout_idle=75"] {
                    arguments.extend(words(&["-p", parameter]));
                }
                (arguments, libraries())
            }
            Self::Nchan => (hubs::nchan(place.directory, address)?, Vec::new()),
            Self::Pushpin => hubs::pushpin(place, address, publish)?,
            Self::Ceiling if setup == Setup::Together => {
                (words(&["role", "together", &listen, &hit]), Vec::new())
            }
            Self::Ceiling if setup == Setup::Push => (words(&["role", "events", &listen, &hit]), Vec::new()),
            Self::Ceiling => (words(&["role", "ceiling", &listen, &hit]), Vec::new()),
            Self::Lookup => (words(&["role", "lookup", &listen, &hit]), Vec::new()),
            Self::Pass => (words(&["role", "pass", &listen, &origin]), Vec::new()),
            Self::Direct => (words(&["role", "origin", &listen]), Vec::new()),
        })
    }
}

/// The environment of taskgate: defaults, except the settings that the benchmark needs.
fn taskgate_environment(
    listen: &str,
    origin: &str,
    place: &Place<'_>,
    setup: Setup,
) -> Result<Environment, Failure> {
    let tokens = place.directory.join("tokens");
    let token = TOKEN.trim_start_matches("Bearer ");
    std::fs::write(&tokens, format!("bench {}\n", taskgate::core::hex::encode(&token::hash(token))))?;
    let settings = place.directory.join("taskgate.toml");
    std::fs::write(
        &settings,
        "[upstream]\nroutes = [\"/v1/tasks/{id}\", { path = \"/v1/videos/{id}/content\", content = true }]\n",
    )?;
    let mut variables = vec![
        ("TASKGATE_CONFIG", settings.display().to_string()),
        ("LEMONDATA_API_KEY", "sk-bench".to_owned()),
        ("TASKGATE_SERVER__LISTEN", listen.to_owned()),
        // The default port may be in use.
        ("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("TASKGATE_UPSTREAM__BASE_URL", format!("http://{origin}")),
        ("TASKGATE_ACCESS__TOKEN_FILE", tokens.display().to_string()),
    ];
    match setup {
        Setup::Ordinary | Setup::Together => {}
        Setup::Budget(per_minute) => {
            variables.push(("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", per_minute.to_string()));
        }
        Setup::Push => {
            variables.push(("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "10000000".to_owned()));
            // All watchers are one client here, who may have half of what is in flight; and the origin holds the looks
            // at all 100 tasks at once.
            variables.push(("TASKGATE_LIMITS__MAX_STREAMS", "0".to_owned()));
            variables.push(("TASKGATE_UPSTREAM__MAX_IN_FLIGHT", "256".to_owned()));
            // Those who do not read stay, until they are measured.
            variables.push(("TASKGATE_SERVER__WRITE_STALL_TIMEOUT", "5m".to_owned()));
        }
        Setup::Large(_) => {
            variables.push(("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "10000000".to_owned()));
            variables.push(("TASKGATE_CACHE__MAX_BYTES", "8GiB".to_owned()));
        }
    }
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The directory into which `bench/peers/run` unpacks Debian's packages.
pub fn prefix() -> PathBuf {
    root().join("target/peers")
}

/// A program of Debian, installed or unpacked.
pub fn find(name: &str) -> Option<PathBuf> {
    [prefix().join("usr/sbin"), prefix().join("usr/bin"), "/usr/sbin".into(), "/usr/bin".into()]
        .into_iter()
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The library directory below the prefix, such as `/usr/lib/x86_64-linux-gnu`.
fn library_directory() -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(prefix().join("usr/lib")).ok()?.filter_map(Result::ok);
    entries.find(|entry| entry.file_name().to_string_lossy().contains("-linux-gnu")).map(|entry| entry.path())
}

/// The variables with which an unpacked program finds its libraries.
pub fn libraries() -> Environment {
    let path = library_directory();
    path.map(|path| ("LD_LIBRARY_PATH".to_owned(), path.display().to_string())).into_iter().collect()
}

fn vmods() -> String {
    library_directory()
        .map_or_else(|| "/usr/lib".into(), |path| path.join("varnish/vmods").display().to_string())
}

/// Copies the file beside this one, with these replacements, each of which must apply. Returns its path.
pub fn adapted(name: &str, directory: &Path, changes: &[(&str, String)]) -> Result<String, Failure> {
    let mut text = std::fs::read_to_string(root().join("bench/peers").join(name))?;
    for (from, to) in changes {
        if !text.contains(from) {
            return Err(format!("{name} has no {from:?}").into());
        }
        text = text.replace(from, to);
    }
    let path = directory.join(name);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a port to hand over: most subjects cannot report the port they chose"
)]
fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

async fn answers(door: Door) -> bool {
    let ask = async { Connection::open(door).await?.get("/v1/tasks/done-0").await };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(answer)) if answer.status == 200)
}
