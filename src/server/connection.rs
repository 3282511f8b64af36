//! Owns one connection: HTTP/1.1, and the end by an error, a timeout or the stop of the process. A stream of events leaves
//! it, to be written as an [`EventStream`].

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use http::{Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use super::activity::{Activity, TrackedBody, Tracker};
use super::departure::Watched;
use super::event_stream::EventStream;
use super::idle;
use super::lent::{Lender, LentBody};
use super::limits::{ConnectionLimits, GIVING_WAY, MAX_HEAD};
use super::write_timeout::WriteTimeout;
use crate::core::places::{Manner, Place};
use crate::lifecycle::Lifecycle;

/// Serves the connection until either side closes it, a timeout ends it, or the process stops; or until the answer is a
/// stream of events that waits for the next one, which is returned.
pub(super) async fn run<A, F, B>(
    stream: TcpStream,
    place: Arc<Place>,
    answer: A,
    limits: ConnectionLimits,
    lifecycle: Lifecycle,
) -> Option<EventStream<WriteTimeout<Watched>, TrackedBody<B>>>
where
    A: Fn(Request, Arc<Place>) -> F,
    F: Future<Output = Response<B>>,
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin + 'static,
{
    // Without TCP_NODELAY, the kernel holds back a small event until the one before is acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let tracker = Tracker::new(Arc::clone(&place));
    let stream = Watched::new(stream, tracker.clone());
    let stream =
        WriteTimeout::new(stream, limits.write_stall_timeout, tracker.clone(), Arc::clone(&place), reset);
    let (begun, asking) = (tracker.clone(), Arc::clone(&place));
    let lender = Lender::default();
    let lending = lender.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let is_pipelined = begun.is_pipelined();
        let guard = begun.begin();
        let (asked, lending) = (Arc::clone(&asking), lending.clone());
        // An older client knows no chunks, and bytes of a body may still come.
        let may_lend = request.version() == Version::HTTP_11 && request.body().is_end_stream();
        // Most requests have no body, and `Body::empty` costs no allocation.
        let request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) });
        let response = answer(request, Arc::clone(&asking));
        async move {
            // hyper would answer all requests that it has read in one go, and nobody else meanwhile.
            if is_pipelined {
                yield_now().await;
            }
            let response = response.await.map(|body| TrackedBody { body, answer: guard });
            let lends = may_lend && asked.is_streaming();
            Ok::<_, Infallible>(
                response.map(|body| if lends { lending.lend(body) } else { LentBody::Given(body) }),
            )
        }
    });
    let mut connection = http1::Builder::new()
        // hyper's timeout would close idle connections too, and its timer costs one allocation per request.
        .header_read_timeout(None)
        // Else it would take the end of a client's side for its departure, whatever the client asks for.
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut expired = std::pin::pin!(idle::expired(&tracker, limits));
    let mut stopped = std::pin::pin!(lifecycle.stopped_meanwhile());
    let mut leave = std::pin::pin!(place.leave(Manner::Politely));
    let mut overdue: Option<Pin<Box<Sleep>>> = None;
    let mut is_stopping = false;
    let result = loop {
        tokio::select! {
            biased;
            // First: an answer that is given early says that the connection is closed behind it.
            () = &mut leave => {
                if place.manner() == Some(Manner::AtOnce) {
                    return None;
                }
                // Between two requests it is closed now, otherwise behind the answer that is under way.
                if matches!(tracker.activity(), Activity::Idle { after: 0 } | Activity::ReadingHead { .. }) {
                    return None;
                }
                Pin::new(&mut connection).graceful_shutdown();
                leave.set(place.leave(Manner::AtOnce));
                overdue = Some(Box::pin(sleep(GIVING_WAY)));
            }
            result = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                // Everything before its pause is written.
                Poll::Pending if tracker.has_handed_over() && !tracker.is_blocked() && lender.lends() => {
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            }) => break result,
            () = &mut expired => {
                tracing::debug!(peer = %place.peer(), "a connection timed out: its client sent no complete request head");
                return None;
            }
            () = async { if let Some(timer) = &mut overdue { timer.await } }, if overdue.is_some() => {
                // Others wait for its socket, and its client does not read.
                if tracker.is_blocked() {
                    place.give_up();
                    return None;
                }
                overdue = Some(Box::pin(sleep(GIVING_WAY)));
            }
            () = &mut stopped, if !is_stopping => {
                // hyper regards a connection as idle only after its first request, and would wait for that
                // one.
                if tracker.activity() == (Activity::Idle { after: 0 }) {
                    return None;
                }
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    match result {
        None => {
            let socket = connection.into_parts().io.into_inner();
            let body = lender.take_back()?;
            return Some(EventStream::new(socket, body, tracker.clone(), Arc::clone(&place)));
        }
        Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Some(Ok(())) => {}
    }
    None
}

/// Makes the end of a connection a reset. Otherwise the kernel would keep the bytes that the client has not
/// read for minutes, and no limit of the gateway would count them.
fn reset(watched: &Watched) {
    if let Err(error) = watched.stream().set_zero_linger() {
        tracing::debug!(%error, "SO_LINGER");
    }
}
