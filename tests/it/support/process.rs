//! Owns processes: the program as a user runs it, and others, with arguments, variables, output and an exit code.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::KEY;

/// Far longer than any command takes: a test that reaches it has found a hang.
const LIMIT: Duration = Duration::from_secs(60);

/// A running process. Ends with this value.
pub struct Program {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    _dir: tempfile::TempDir,
}

/// Starts the program in an empty directory, with no variables but these.
pub fn program(arguments: &[&str], env: &[(&str, &str)], files: &[(&str, &str)]) -> Program {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut command = command(dir.path());
    command.args(arguments).envs(env.iter().copied()).stdin(Stdio::null());
    start(command, dir)
}

/// Starts a gateway in open mode in front of this upstream, with these variables besides: the program, and the addresses
/// of the main and the admin listener.
#[track_caller]
pub fn serve(base_url: &str, extra: &[(&str, &str)]) -> (Program, SocketAddr, SocketAddr) {
    let mut env = vec![
        ("LEMONDATA_API_KEY", KEY),
        ("TASKGATE_ACCESS__MODE", "open"),
        ("TASKGATE_UPSTREAM__BASE_URL", base_url),
        ("TASKGATE_SERVER__LISTEN", "127.0.0.1:0"),
        ("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0"),
    ];
    env.extend_from_slice(extra);
    let program = program(&["serve"], &env, &[]);
    let (main, admin) = program.addresses();
    (program, main, admin)
}

/// The address in this field of a log line of either format.
#[track_caller]
pub fn address(field: &str, line: &str) -> SocketAddr {
    let (_, rest) = line.split_once(field).unwrap_or_else(|| panic!("no {field} in {line}"));
    rest.trim_start_matches(['"', ':', '=']).split(['"', ' ']).next().unwrap().parse().unwrap()
}

/// Starts any command. What it leaves lying about goes with it.
pub fn run(mut command: Command) -> Program {
    let dir = tempfile::tempdir().unwrap();
    command.env("TMPDIR", dir.path());
    start(command, dir)
}

fn start(mut command: Command, dir: tempfile::TempDir) -> Program {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = lines(child.stdout.take().unwrap());
    let stderr = lines(child.stderr.take().unwrap());
    Program { child, stdout, stderr, _dir: dir }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskgate"));
    command.current_dir(dir).env_clear();
    command
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Program {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The rest of what it prints until this line of standard output.
    #[track_caller]
    pub fn wait_for(&self, part: &str) -> Vec<String> {
        wait_for(&self.stdout, part)
    }

    /// The same for standard error, where logs go.
    #[track_caller]
    pub fn wait_for_log(&self, part: &str) -> Vec<String> {
        wait_for(&self.stderr, part)
    }

    /// The addresses of the main and the admin listener, once a gateway is ready.
    #[track_caller]
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let ready = self.wait_for_log("is ready").pop().unwrap();
        (address("listen", &ready), address("admin", &ready))
    }

    /// A figure of its memory in `/proc`, such as `VmRSS`, in KiB.
    pub fn memory_kib(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The next line of standard output.
    #[track_caller]
    pub fn next_line(&self) -> String {
        let Ok(line) = self.stdout.recv_timeout(LIMIT) else {
            self.signal("KILL");
            panic!("it says no more, but:\n{}", self.stderr.iter().collect::<Vec<_>>().join("\n"))
        };
        line
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it, and shows what it said on standard error.
    pub fn killed(mut self) -> String {
        let _ = self.child.kill();
        self.wait(LIMIT);
        self.stderr.iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits for its end: exit code, standard output, standard error.
    #[track_caller]
    pub fn end(self) -> (Option<i32>, String, String) {
        self.end_within(LIMIT)
    }

    /// The same for one that may take longer.
    #[track_caller]
    pub fn end_within(mut self, limit: Duration) -> (Option<i32>, String, String) {
        let status = self.wait(limit);
        (
            status.code(),
            self.stdout.iter().collect::<Vec<_>>().join("\n"),
            self.stderr.iter().collect::<Vec<_>>().join("\n"),
        )
    }

    #[track_caller]
    fn wait(&mut self, limit: Duration) -> ExitStatus {
        let limit = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < limit, "the program does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[track_caller]
fn wait_for(lines: &Receiver<String>, part: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|line: &String| line.contains(part)) {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => seen.push(line),
            Err(_) => panic!("never said {part:?}, but:\n{}", seen.join("\n")),
        }
    }
    seen
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
