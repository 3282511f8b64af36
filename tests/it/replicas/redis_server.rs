//! Owns a redis-server of a test's own: on a free port, without a file. Dropped, it is gone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::clients::parts::redis_path;
use crate::support::{Program, run};

/// The server at work, or one that was and may be again, on the same port.
pub struct RedisServer {
    program: PathBuf,
    port: u16,
    running: Option<Program>,
}

impl RedisServer {
    /// `None` where none is installed: the tests do not run then, and in CI that is a failure.
    pub fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// The same with these options.
    pub fn with(options: &[&str]) -> Option<Self> {
        let program = redis_path()?;
        // It cannot tell which free port it took. Another program may take this one meanwhile: hence the attempts.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = Self { program: program.clone(), port, running: None };
            if server.try_to_run(options) {
                return Some(server);
            }
        }
        panic!("redis-server does not start")
    }

    fn try_to_run(&mut self, options: &[&str]) -> bool {
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--port", &self.port.to_string()]).args(options).stdin(Stdio::null());
        let mut running = run(command);
        let is_up = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            running.has_ended() || self.command().is_some()
        });
        if !is_up || running.has_ended() {
            return false;
        }
        self.running = Some(running);
        true
    }

    /// Runs it again after [`kill`](Self::kill): without what it knew.
    pub fn run_again(&mut self) {
        assert!(self.try_to_run(&[]), "redis-server does not start again");
    }

    pub fn kill(&mut self) {
        self.running = None;
    }

    pub fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// A connection of the test's own, if the server answers.
    pub fn command(&self) -> Option<redis::Connection> {
        let mut connection = redis::Client::open(self.url()).unwrap().get_connection().ok()?;
        redis::cmd("PING").query::<String>(&mut connection).ok()?;
        Some(connection)
    }
}
