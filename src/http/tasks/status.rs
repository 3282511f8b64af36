//! Owns the handling of a status request: each step is one line of [`read`].

use http::{HeaderMap, Method, Response};
use tokio::time::{Duration, Instant, sleep};

use super::read_mode::{self, ReadMode};
use super::{cancel, events, stream};
use crate::core::answer::{Answer, Refusal};
use crate::core::grant::Grant;
use crate::core::state::State;
use crate::http::gateway::Parts;
use crate::http::guards::method;
use crate::http::head::Head;
use crate::http::request_log::{self, RequestKind};
use crate::http::respond::error::Error;
use crate::http::respond::if_none_match::IfNoneMatch;
use crate::http::respond::render;
use crate::http::respond::response_body::{ResponseBody, other};
use crate::peer::Peer;

/// Answers a request for any path that is not the gateway's own.
pub(in crate::http) async fn read(
    gateway: &Parts,
    request: Head,
    peer: &Peer,
) -> Result<Response<ResponseBody>, Error> {
    gateway.methods.check(&request)?;
    let key = gateway.routes.find(request.uri().path()).map_err(Error::Path)?;
    request_log::kind(RequestKind::Task);
    let caller = gateway.access.caller(&request, peer.address())?;
    request_log::client(caller.client());
    if *request.method() == Method::DELETE {
        method::check_cancelling(&gateway.routes, &key)?;
        request_log::kind(RequestKind::Cancel);
        return Box::pin(cancel::answer(gateway, &caller, key)).await.map(other);
    }
    let grant = caller.grant(key)?;
    let mode = read_mode::of(&request, gateway.max_wait)?;
    request_log::kind(mode.into());
    let limited = within_limits(gateway, &grant);
    let unless = IfNoneMatch::of(request.headers());
    let time = match mode {
        ReadMode::Stream if limited.is_err() => return Ok(other(stream::come_back())),
        ReadMode::Stream => {
            return Ok(other(
                request_log::cause().within(|| events::open(gateway, &grant, request.headers())),
            ));
        }
        ReadMode::Plain => None,
        ReadMode::Wait { time, .. } => Some(time),
    };
    limited?;
    if time.is_none()
        && let Some(hit) = gateway.mirror.at_once(&grant)
    {
        return Ok(told(gateway, &hit, &unless, render::room(request)));
    }
    // Thousands of waiters would each hold a head, and none of them is in the CPU cache when they are
    // answered.
    drop(request);
    // From here on the core may log lines, which name the request. A hit logs none.
    let cause = request_log::cause();
    let answer = match time {
        None => Box::pin(cause.during(gateway.mirror.ask(&grant, grant.ended()))).await,
        Some(time) => {
            peer.must_stay();
            Box::pin(cause.during(wait(gateway, &grant, &unless, time))).await
        }
    };
    let mut response = match answer {
        Ok(answer) => told(gateway, &answer, &unless, HeaderMap::new()),
        Err(refusal) => {
            let error = Error::Refused(refusal);
            request_log::outcome(error.code());
            other(error)
        }
    };
    if let ReadMode::Wait { time, preferred: true } = mode {
        render::applied(&mut response, time);
    }
    Ok(response)
}

/// Counts an answer and renders it.
fn told(gateway: &Parts, answer: &Answer, unless: &IfNoneMatch, room: HeaderMap) -> Response<ResponseBody> {
    let now = Instant::now();
    request_log::outcome(answer.origin);
    gateway.counters.answer(&answer.state, answer.origin, now);
    render::answer(answer, unless, room, now)
}

fn within_limits(gateway: &Parts, grant: &Grant) -> Result<(), Error> {
    let now = Instant::now();
    gateway.limits.request(grant.client(), now)?;
    gateway.limits.new_task(grant.client(), now, || !gateway.mirror.knows(grant.key()))
}

/// The long-poll. With `If-None-Match` any state with another tag ends it, without it only a terminal state
/// does. A drain, or the end of the ticket, ends it with the latest state.
async fn wait(
    gateway: &Parts,
    grant: &Grant,
    unless: &IfNoneMatch,
    time: Duration,
) -> Result<Answer, Refusal> {
    let until = async {
        tokio::select! {
            () = sleep(time) => {}
            () = gateway.lifecycle.stopped() => {}
            () = grant.ended() => {}
        }
    };
    let is_news = |state: &State| unless.is_some() && !unless.names(&state.snapshot.etag);
    gateway.mirror.wait(grant, until, is_news).await
}
