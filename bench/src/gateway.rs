//! Owns the process of the gateway.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use crate::{Failure, program};

/// A gateway process, which ends when this is dropped.
pub struct Gateway {
    process: Child,
    /// Where clients find it.
    pub address: SocketAddr,
    /// Where operators do.
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts a gateway in open mode, with a budget that is never exhausted and these variables.
    pub fn start(upstream: SocketAddr, extra: &[(&str, &str)]) -> Result<Self, Failure> {
        Self::start_logging(upstream, extra).map(|(gateway, _)| gateway)
    }

    /// As [`start`](Self::start), with the reader of its log.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_logging(
        upstream: SocketAddr,
        extra: &[(&str, &str)],
    ) -> Result<(Self, BufReader<ChildStderr>), Failure> {
        let mut process = command(upstream, extra)?.stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?);
        let mut line = String::new();
        while log.read_line(&mut line)? > 0 {
            if let Some((address, admin)) =
                address_after("listen=", &line).zip(address_after("admin=", &line))
            {
                return Ok((Self { process, address, admin }, log));
            }
            line.clear();
        }
        Err("the gateway did not start".into())
    }

    /// As [`start`](Self::start), with a log that nobody reads, on ports that are free now.
    ///
    /// # Errors
    /// It does not start.
    #[expect(clippy::disallowed_methods, reason = "a benchmark may wait, and has to find a port")]
    pub fn start_unheard(upstream: SocketAddr, extra: &[(&str, &str)], log: Stdio) -> Result<Self, Failure> {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let (address, admin) = (free()?, free()?);
        let process = command(upstream, extra)?
            .env("TASKGATE_SERVER__LISTEN", address.to_string())
            .env("TASKGATE_ADMIN__LISTEN", admin.to_string())
            .stderr(log)
            .spawn()?;
        let gateway = Self { process, address, admin };
        for _ in 0..100 {
            if TcpStream::connect(admin).is_ok() {
                return Ok(gateway);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the gateway did not start".into())
    }

    /// Kills it. Its port is free then.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Ends it by SIGTERM, as a supervisor does. Returns its exit code.
    ///
    /// # Errors
    /// It cannot be signalled, or a signal has ended it.
    pub fn terminate(mut self) -> Result<i32, Failure> {
        let id = self.process.id().to_string();
        if !Command::new("kill").args(["-TERM", &id]).status()?.success() {
            return Err("the gateway is not there".into());
        }
        self.process.wait()?.code().ok_or_else(|| "a signal has ended the gateway".into())
    }

    /// The time for which it has had a processor, in hundredths of a second.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cpu_ticks(&self) -> Result<u64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name may hold anything but the last parenthesis.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
        let mut times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let mut next = || times.next().ok_or("no times")?.map_err(Failure::from);
        Ok(next()? + next()?)
    }

    /// Resident memory, in KiB.
    ///
    /// # Errors
    /// The process has ended.
    pub fn rss_kib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

fn command(upstream: SocketAddr, extra: &[(&str, &str)]) -> Result<Command, Failure> {
    let mut command = Command::new(program()?);
    command
        .env_clear()
        .env("LEMONDATA_API_KEY", "sk-bench")
        .env("TASKGATE_ACCESS__MODE", "open")
        .env("TASKGATE_UPSTREAM__BASE_URL", format!("http://{upstream}"))
        .env("TASKGATE_SERVER__LISTEN", "127.0.0.1:0")
        .env("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "10000000")
        .env("TASKGATE_BUDGET__BURST", "100000")
        .env("TASKGATE_LIMITS__MAX_STREAMS", "0")
        .envs(extra.iter().copied());
    Ok(command)
}

/// The address that stands behind a mark in a line of the log.
pub fn address_after(mark: &str, line: &str) -> Option<SocketAddr> {
    line.split(mark).nth(1)?.split(' ').next()?.parse().ok()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
