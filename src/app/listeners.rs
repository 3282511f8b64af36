//! Owns the binding of sockets.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Settings;

/// Connections that may wait to be accepted. The usual 128 are too few when a restart brings all streams back at
/// once: each client beyond them tries again after a second or more.
const BACKLOG: u32 = 4096;
/// What the kernel holds for a client that does not read (it takes twice as much). Left to itself it is 2.5 MiB on
/// loopback: a thousand such clients would fill a container.
const SEND_BUFFER: u32 = 128 * 1024;

/// The port is taken, or not ours to take.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}; stop what listens there, or set {setting} to another address")]
pub struct ListenError {
    /// The address that was to be listened on.
    address: SocketAddr,
    /// The setting that names it.
    setting: &'static str,
    /// The system's word.
    source: io::Error,
}

/// The sockets of a gateway that does not run yet.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub main: TcpListener,
    /// For operators.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the settings name.
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

/// Binds one address; `setting` is what to name where that fails.
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
    // Without it, a port is taken for a while after each restart.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
