//! Owns the process of the gateway.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

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
        let mut process = Command::new(program()?)
            .env_clear()
            .env("LEMONDATA_API_KEY", "sk-bench")
            .env("TASKGATE_ACCESS__MODE", "open")
            .env("TASKGATE_UPSTREAM__BASE_URL", format!("http://{upstream}"))
            .env("TASKGATE_SERVER__LISTEN", "127.0.0.1:0")
            .env("TASKGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", "10000000")
            .env("TASKGATE_BUDGET__BURST", "100000")
            .env("TASKGATE_LIMITS__MAX_STREAMS", "0")
            .envs(extra.iter().copied())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = process.stderr.take().ok_or("no log")?;
        for line in BufReader::new(log).lines() {
            let line = line?;
            if let Some((address, admin)) =
                address_after("listen=", &line).zip(address_after("admin=", &line))
            {
                return Ok(Self { process, address, admin });
            }
        }
        Err("the gateway did not start".into())
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
