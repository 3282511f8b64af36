//! Owns the handling of a request for a content: the bytes of a result, which pass from the upstream to the client.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use tokio::time::Instant;

use crate::core::answer::Reason;
use crate::core::content::{Broken, Content, ContentBody, ContentRequest, Download, NoPlace, Opened};
use crate::core::failure::Failure;
use crate::core::places::{Full, Place, Waiting};
use crate::core::task::PathFault;
use crate::core::time::seconds_up;
use crate::http::gateway::Parts;
use crate::http::head::Head;
use crate::http::headers::{CACHE_STATUS, X_ACCEL_BUFFERING};
use crate::http::request_log::{self, Ending, RequestKind, Strike};
use crate::http::respond::error::Error;

/// The time after which one of a client's downloads may have ended, in seconds.
const COME_BACK: u64 = 5;

/// A content that is opened as a page is shown, and runs nothing. `allow-same-origin`: otherwise Chromium asks for a film's
/// bytes as a page without origin, and refuses the answer.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox allow-same-origin",
);

/// Answers a request for a content, or with the fault of a path that is no task's either. The right is that to read the
/// task with the same id.
pub(in crate::http) async fn read(
    gateway: &Parts,
    request: &Head,
    fault: PathFault,
    place: &Arc<Place>,
) -> Result<Response, Error> {
    gateway.methods.check(request)?;
    let key = gateway.content_routes.find(request.uri().path()).map_err(|of_content| {
        Error::Path(if of_content == PathFault::InvalidId { of_content } else { fault })
    })?;
    gateway.methods.check_reading(request)?;
    request_log::kind(RequestKind::Content);
    let caller = gateway.access.caller(request, place.peer())?;
    request_log::client(caller.client());
    let claimed = place.claim(caller.client());
    let grant = caller.grant(key)?;
    claimed.map_err(|Full| gateway.overloaded())?;
    gateway.limits.request(grant.client(), Instant::now())?;
    let download = gateway.downloads.open(grant.client(), place).map_err(|none| match none {
        NoPlace::OfClient => {
            gateway.counters.strike(Strike::MaxDownloads);
            Error::ClientRateLimited { retry_after: COME_BACK }
        }
        NoPlace::OfAll => gateway.overloaded(),
    })?;
    let asked = ContentRequest::of(*request.method() == Method::HEAD, request.headers());
    place.must_stay();
    let waiting = place.wait();
    let opened = request_log::cause().during(gateway.mirror.open(&grant, asked)).await;
    let opened = opened.map_err(|refusal| match refusal.reason {
        Reason::Upstream(Failure::InvalidResponse { .. }) => Error::NotPassedOn,
        _ => Error::Refused(refusal),
    })?;
    request_log::outcome(Ending::PassedOn);
    Ok(match opened {
        Opened::Content(Content { status, fields, body }) => {
            let length = length(&fields);
            let body = body.filter(|_| length != Some(0));
            let body = body.map_or_else(Body::empty, |body| {
                // HTTP/1.0 knows no chunks: only a reset shows that a body without a length is cut.
                let ends_with_connection = length.is_none() && request.version() == Version::HTTP_10;
                let place = ends_with_connection.then(|| Arc::clone(place));
                passing(Passing { body, left: length, download, place, _waiting: waiting })
            });
            let mut response = passed_on(status, body);
            response.headers_mut().extend(fields);
            // A browser may keep it, and asks each time whether it still may show it.
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
            headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
            headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
            response
        }
        Opened::Elsewhere { status, location } => {
            let mut response = passed_on(status, Body::empty());
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Opened::Answer { status, content_type, retry_after, body } => {
            place.hold(&body).map_err(|Full| gateway.overloaded())?;
            let mut response = passed_on(status, Body::from(body));
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            if let Some(wait) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds_up(wait).into());
            }
            response
        }
    })
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Passes the bytes on as the client reads them. If they break off, so does the connection.
fn passing(mut passing: Passing) -> Body {
    passing.download.begin();
    Body::from_stream(stream::unfold(Some(Box::new(passing)), |passing| async move {
        let mut passing = passing?;
        let next = passing.next().await?;
        let goes_on = next.is_ok();
        Some((next, goes_on.then_some(passing)))
    }))
}

/// A download under way. Dropped before its last byte, its client has left.
struct Passing {
    body: ContentBody,
    /// The bytes that are still to come, where the length is known. Nobody asks for more behind the last.
    left: Option<u64>,
    download: Download,
    /// The connection, where only its reset shows that the bytes have broken off.
    place: Option<Arc<Place>>,
    _waiting: Waiting,
}

impl Passing {
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        let next = self.body.next().await;
        match &next {
            Some(Ok(bytes)) => {
                let length = bytes.len() as u64;
                self.download.sent(length);
                self.left = self.left.map(|left| left.saturating_sub(length));
                if self.left == Some(0) {
                    self.download.complete();
                }
            }
            Some(Err(broken)) => {
                self.download.broken();
                if let Some(place) = &self.place {
                    place.give_up();
                }
                tracing::info!(reason = %broken, "a download broke off");
            }
            None => self.download.complete(),
        }
        next
    }
}

/// An answer of the upstream. `fwd=bypass`: contents pass by the cache (RFC 9211, 2.2).
fn passed_on(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let text = format!("taskgate; fwd=bypass; fwd-status={}", status.as_u16());
    headers.insert(CACHE_STATUS, HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("taskgate")));
    response
}
