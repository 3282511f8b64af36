//! Owns the redis-server process.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use taskgate_bench::{Failure, root};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};

/// A server without a file, which ends when this is dropped.
pub struct Redis {
    process: Child,
    pub address: SocketAddr,
}

impl Redis {
    /// A server on a port that is free now.
    ///
    /// # Errors
    /// None is installed, or it does not start.
    #[expect(clippy::disallowed_methods, reason = "a benchmark has to find a port")]
    pub async fn start() -> Result<Self, Failure> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Self::start_at(address).await
    }

    async fn start_at(address: SocketAddr) -> Result<Self, Failure> {
        let process = Command::new(program()?)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let server = Self { process, address };
        for _ in 0..500 {
            if server.command("PING").await.is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err("redis-server does not start".into())
    }

    /// Kills it, and starts it again, empty.
    pub async fn restart(&mut self, after: Duration) -> Result<(), Failure> {
        self.process.kill()?;
        self.process.wait()?;
        sleep(after).await;
        let mut again = Self::start_at(self.address).await?;
        std::mem::swap(self, &mut again);
        Ok(())
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> Result<(), Failure> {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status()?;
        if status.success() { Ok(()) } else { Err("redis-server is not there".into()) }
    }

    /// The beginning of the answer to a command without blanks in its arguments.
    pub async fn command(&self, command: &str) -> Result<String, Failure> {
        let asking = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, Failure>(String::from_utf8_lossy(&answer).into_owned())
        };
        timeout(Duration::from_secs(5), asking).await?
    }

    /// The number of commands so far, those within scripts included, and of calls of scripts.
    pub async fn commands(&self) -> Result<(u64, u64), Failure> {
        let stats = self.command("INFO commandstats").await?;
        let counts = stats.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name, rest.split(',').next()?.parse::<u64>().ok()?))
        });
        let (mut all, mut scripts) = (0, 0);
        for (name, count) in counts {
            all += count;
            scripts += if name == "evalsha" { count } else { 0 };
        }
        Ok((all, scripts))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark looks for a program where a shell would")]
fn program() -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unpacked = root().join("target/proxies/usr/bin");
    std::env::split_paths(&path)
        .chain([unpacked])
        .flat_map(|folder| ["redis-server", "valkey-server"].map(|name| folder.join(name)))
        .find(|file| file.is_file())
        .ok_or_else(|| "no redis-server: .ci/install tests".into())
}
