//! Owns the binding of sockets.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Settings;

/// The most connections that wait to be accepted. The usual 128 are too few when all streams reconnect after
/// a restart: each client beyond the backlog tries again after a second or more.
const BACKLOG: u32 = 4096;
/// The kernel's buffer, in bytes, for a client that does not read (the kernel takes twice as much). Its own
/// choice is 2.5 MiB on loopback: a thousand such clients would fill a container.
const SEND_BUFFER: u32 = 128 * 1024;

/// An address could not be bound: another program listens there, or this process may not.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}; stop what listens there, or set {setting} to another address")]
pub struct ListenError {
    /// The address.
    address: SocketAddr,
    /// The setting that names the address.
    setting: &'static str,
    /// The system's error.
    source: io::Error,
}

/// The bound sockets of a gateway that does not run yet.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub main: TcpListener,
    /// For operators.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Binds the addresses in the settings.
    ///
    /// # Errors
    /// [`ListenError`], naming the address and its setting.
    pub async fn bind(settings: &Settings) -> Result<Self, ListenError> {
        let main = listen(settings.server.listen, "server.listen").await?;
        let admin = match settings.admin.listen {
            Some(address) => Some(listen(address, "admin.listen").await?),
            None => None,
        };
        Ok(Self { main, admin })
    }
}

/// Binds one address. An error names `setting`.
///
/// # Errors
/// [`ListenError`].
#[expect(clippy::unused_async, reason = "it panics outside of a runtime, which an async function shows")]
pub async fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    bind(address).map_err(|source| ListenError { address, setting, source })
}

#[expect(clippy::disallowed_methods, reason = "the one place that binds")]
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Without SO_REUSEADDR, the port stays taken for a minute after each restart.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit the size.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
