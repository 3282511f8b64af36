//! Owns the handling of a status request: each step is one line of [`read`].

use std::sync::Arc;

use http::{HeaderMap, Method, Response};
use tokio::time::{Duration, Instant, sleep};

use super::read_mode::{self, ReadMode};
use super::{cancel, events, stream};
use crate::core::answer::{Answer, Refusal};
use crate::core::grant::Grant;
use crate::core::places::{Full, Manner, Place};
use crate::core::state::State;
use crate::core::task::TaskKey;
use crate::http::gateway::Parts;
use crate::http::guards::method;
use crate::http::head::Head;
use crate::http::request_log::{self, RequestKind};
use crate::http::respond::error::Error;
use crate::http::respond::if_none_match::IfNoneMatch;
use crate::http::respond::render;
use crate::http::respond::response_body::{ResponseBody, other};

/// Answers a request for a task.
pub(in crate::http) async fn read(
    gateway: &Parts,
    request: Head,
    key: TaskKey,
    place: &Arc<Place>,
) -> Result<Response<ResponseBody>, Error> {
    gateway.methods.check(&request)?;
    request_log::kind(RequestKind::Task);
    let caller = gateway.access.caller(&request, place.peer())?;
    request_log::client(caller.client());
    let claimed = place.claim(caller.client());
    if *request.method() == Method::DELETE {
        claimed.map_err(|Full| gateway.overloaded())?;
        method::check_cancelling(&gateway.routes, &key)?;
        request_log::kind(RequestKind::Cancel);
        return Box::pin(cancel::answer(gateway, &caller, key, place)).await.map(other);
    }
    let grant = caller.grant(key)?;
    let mode = read_mode::of(&request, gateway.max_wait)?;
    request_log::kind(mode.into());
    let limited = claimed.map_err(|Full| gateway.overloaded()).and_then(|()| within_limits(gateway, &grant));
    let unless = IfNoneMatch::of(request.headers());
    let time = match mode {
        ReadMode::Stream if limited.is_err() => return Ok(other(stream::come_back())),
        ReadMode::Stream => {
            let seen = stream::last_event_id(&request);
            gateway.mirror.catch_up(&grant, seen.as_ref()).await;
            return Ok(other(request_log::cause().within(|| events::open(gateway, &grant, seen, place))));
        }
        ReadMode::Plain => None,
        ReadMode::Wait { time, .. } => Some(time),
    };
    limited?;
    if time.is_none()
        && let Some(hit) = gateway.mirror.at_once(&grant)
    {
        return told(gateway, &hit, &unless, render::room(request), place);
    }
    // Thousands of waiters would each hold a head, and none of them is in the CPU cache when they are
    // answered.
    drop(request);
    // From here on the core may log lines, which name the request. A hit logs none.
    let cause = request_log::cause();
    let waiting = place.wait();
    let answer = match time {
        None => Box::pin(cause.during(gateway.mirror.ask(&grant, ended(&grant, place)))).await,
        Some(time) => {
            place.must_stay();
            Box::pin(cause.during(wait(gateway, &grant, &unless, time, place))).await
        }
    };
    drop(waiting);
    let told = match answer {
        Ok(answer) => told(gateway, &answer, &unless, HeaderMap::new(), place),
        Err(refusal) => Err(Error::Refused(refusal)),
    };
    let mut response = told.unwrap_or_else(|error| {
        request_log::outcome(error.code());
        other(error)
    });
    if let ReadMode::Wait { time, preferred: true } = mode {
        render::applied(&mut response, time);
    }
    Ok(response)
}

/// Counts an answer and renders it. Its connection holds the body until that is written.
fn told(
    gateway: &Parts,
    answer: &Answer,
    unless: &IfNoneMatch,
    room: HeaderMap,
    place: &Place,
) -> Result<Response<ResponseBody>, Error> {
    place.hold(&answer.state.snapshot.body).map_err(|Full| gateway.overloaded())?;
    let now = Instant::now();
    request_log::outcome(answer.origin);
    gateway.counters.answer(&answer.state, answer.origin, now);
    Ok(render::answer(answer, unless, room, now))
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
    place: &Place,
) -> Result<Answer, Refusal> {
    let until = async {
        tokio::select! {
            () = sleep(time) => {}
            () = gateway.lifecycle.stopped() => {}
            () = ended(grant, place) => {}
        }
    };
    let is_news = |state: &State| unless.is_some() && !unless.names(&state.snapshot.etag);
    gateway.mirror.wait(grant, until, is_news).await
}

/// Resolves when the client may not read any longer, or its connection has to give way: then it is answered early.
async fn ended(grant: &Grant, place: &Place) {
    tokio::select! {
        () = grant.ended() => {}
        () = place.leave(Manner::Politely) => {}
    }
}
