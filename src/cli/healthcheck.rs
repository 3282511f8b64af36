//! Owns `taskgate healthcheck`: one request to `/readyz` or `/livez` of the running gateway, without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::command_error::CommandError;
use super::surroundings::Surroundings;
use crate::config;

const PATIENCE: Duration = Duration::from_secs(2);
/// In bytes: more than head and body of an answer of `/readyz`.
const ANSWER: usize = 4096;

pub(super) async fn run(flag: Option<&Path>, surroundings: Surroundings) -> Result<(), CommandError> {
    // Only the listeners: a fault in a setting edited since the start does not concern the running gateway.
    let listeners = surroundings.sources(flag).and_then(|sources| config::listeners(&sources));
    let (main, admin) = listeners.map_err(|faults| {
        // Exit code 1 instead of 78: Docker reserves all codes but 0 and 1.
        CommandError::NotReady(format!("the settings are at fault:\n{faults}"))
    })?;
    let (address, path) = match admin {
        Some(admin) => (admin, "/readyz"),
        None => (main, "/livez"),
    };
    let address = reachable(address);
    let answer = match timeout(PATIENCE, ask(address, path)).await {
        Ok(answer) => answer.map_err(|error| {
            CommandError::NotReady(format!("http://{address}{path}: {error}; is the gateway running?"))
        })?,
        Err(_) => {
            return Err(CommandError::NotReady(format!("http://{address}{path} did not answer in 2 s")));
        }
    };
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let line = answer.lines().next().unwrap_or("nothing").to_owned();
    Err(CommandError::NotReady(format!("http://{address}{path} answered {line}")))
}

/// The address to connect to: loopback if the listener is on all addresses (`0.0.0.0` or `::`).
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER as u64).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
