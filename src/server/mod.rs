//! Owns the listeners: HTTP/1.1 on each connection that the `Acceptor` accepts, until the process stops.
//!
//! `axum::serve` has no read timeouts, and sleeps a second after an accept error.

mod accept;
mod activity;
mod connection;
mod connections;
mod departure;
mod event_stream;
mod gather;
mod idle;
mod lent;
mod limits;
mod write_timeout;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http::Response;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use self::accept::Acceptor;
pub use self::connections::Connections;
pub use self::limits::{ConnectionLimits, sockets_beyond};
use crate::core::places::{Place, Places};
use crate::lifecycle::Lifecycle;

/// An answer to come.
type AnswerFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Serves a router until the process stops. Requests already read are still answered.
pub async fn serve(listener: TcpListener, router: Router, limits: ConnectionLimits, lifecycle: Lifecycle) {
    let places = Places::new(limits.max_connections, u64::MAX, |_| false);
    serve_counted(listener, routed(router), limits, places, lifecycle, Arc::default()).await;
}

/// Makes a router an answer function for [`serve_counted`]. It ignores the client's address.
pub fn routed(
    router: Router,
) -> impl Fn(Request, Arc<Place>) -> AnswerFuture + Clone + Send + Sync + 'static {
    move |request, _| {
        let router = router.clone();
        Box::pin(async move { router.oneshot(request).await.unwrap_or_else(|never| match never {}) })
    }
}

/// Serves the function `answer`, which gets each request and the place of its connection, and counts the
/// connections.
pub async fn serve_counted<A, F, B>(
    listener: TcpListener,
    answer: A,
    limits: ConnectionLimits,
    places: Places,
    lifecycle: Lifecycle,
    connections: Arc<Connections>,
) where
    A: Fn(Request, Arc<Place>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    let mut acceptor = Acceptor::new(listener, limits.max_connections, places, connections);
    loop {
        tokio::select! {
            biased;
            () = lifecycle.stopped() => return,
            accepted = acceptor.next() => {
                let (answer, ending) = (answer.clone(), lifecycle.clone());
                drop(lifecycle.spawn(async move {
                    // Called inside the block: a future that is moved into this one takes its space twice.
                    let rest = connection::run(accepted.stream, accepted.place, answer, limits, ending.clone());
                    if let Some(stream) = rest.await {
                        // In a task of its own, which is smaller.
                        let lifecycle = ending.clone();
                        drop(ending.spawn(async move {
                            stream.run(lifecycle).await;
                            drop(accepted.socket);
                        }));
                    }
                }));
            }
        }
    }
}
