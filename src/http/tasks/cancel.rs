//! Owns `DELETE {route}`: a cancellation, sent upstream once and answered with the upstream's own response.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::core::answer::{Reason, Refusal};
use crate::core::places::Place;
use crate::core::ports::Reply;
use crate::core::snapshot::Phase;
use crate::core::task::TaskKey;
use crate::http::gateway::Parts;
use crate::http::guards::access::Caller;
use crate::http::headers::CACHE_STATUS;
use crate::http::request_log::{self, Ending};
use crate::http::respond::error::Error;

/// Answers a DELETE. No known state stands in for a failed cancellation, because a 200 would look like
/// success.
pub(super) async fn answer(
    gateway: &Parts,
    caller: &Caller,
    key: TaskKey,
    place: &Place,
) -> Result<Response, Error> {
    let grant = caller.grant_cancel(key)?;
    gateway.limits.request(grant.client(), Instant::now())?;
    let reply = tokio::select! {
        reply = request_log::cause().during(gateway.mirror.cancel(&grant)) => reply,
        // A cancellation already sent goes on; only its answer is not awaited.
        () = gateway.last_call() => Err(Refusal { reason: Reason::ShuttingDown, retry_after: 1 }),
    };
    let reply = reply.map_err(Error::NotCancelled)?;
    request_log::outcome(Ending::PassedOn);
    Ok(render(match reply {
        // The task is cancelled, which the status alone tells too.
        Reply::Answer(snapshot) if place.hold(&snapshot.body).is_err() => Reply::Silent(snapshot.status),
        reply => reply,
    }))
}

fn render(reply: Reply) -> Response {
    let (status, stored) = match &reply {
        Reply::Answer(snapshot) => (snapshot.status, snapshot.phase == Phase::Terminal),
        Reply::Silent(status) => (*status, false),
    };
    let mut response = match reply {
        Reply::Answer(snapshot) => {
            let mut response = Response::new(Body::from(snapshot.body));
            response.headers_mut().insert(header::CONTENT_TYPE, snapshot.content_type);
            response
        }
        Reply::Silent(_) => Response::new(Body::empty()),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CACHE_STATUS, cache_status(status, stored));
    response
}

/// `fwd=method`: the request went upstream because of its method (RFC 9211, 2.2).
fn cache_status(status: StatusCode, stored: bool) -> HeaderValue {
    let stored = if stored { "; stored" } else { "" };
    let text = format!("taskgate; fwd=method; fwd-status={}{stored}", status.as_u16());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("taskgate"))
}
