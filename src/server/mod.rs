//! Owns the listeners' accept loops: HTTP/1.1, connection limits, header timeouts, drain.
//!
//! Not `axum::serve`: that has no header-read timeout, and sleeps a second after an accept error.

mod connections;
mod stall;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, sleep};

pub use self::connections::Connections;
use self::stall::Stalling;
use crate::lifecycle::Lifecycle;

/// What a listener's connections may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// How long a request's head may take to arrive.
    pub header_read_timeout: Duration,
    /// How long a write may make no progress.
    pub write_stall_timeout: Duration,
}

/// Serves until the process stops; then requests already read are finished.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, lifecycle: Lifecycle) {
    serve_counted(listener, router, limits, lifecycle, Arc::default()).await;
}

/// The same, and counts the connections.
pub async fn serve_counted(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    lifecycle: Lifecycle,
    connections: Arc<Connections>,
) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    loop {
        tokio::select! {
            biased;
            () = lifecycle.stopped() => return,
            (stream, peer, place) = accept(&listener, &places, &connections) => {
                let counted = connections.open();
                let connection = connection(stream, peer, router.clone(), limits, lifecycle.clone());
                drop(lifecycle.spawn(async move {
                    connection.await;
                    drop((place, counted));
                }));
            }
        }
    }
}

/// The next connection, once there is a place for it. Cancel safe.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    connections: &Connections,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a permit.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                connections.fail();
                // Out of file descriptors, or a client that left while it was in the backlog.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    lifecycle: Lifecycle,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let stream = Stalling::new(stream, limits.write_stall_timeout);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = lifecycle.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
