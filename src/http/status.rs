//! Owns the way of a status request: each step is a line of [`answer`].

use std::net::SocketAddr;

use http::{HeaderMap, Method, Response};
use tokio::time::{Duration, Instant, sleep};

use super::content::{Content, other};
use super::error::Error;
use super::if_none_match::IfNoneMatch;
use super::tally::Kind;
use super::way::{self, Way};
use super::{Gateway, Head, Parts, cancel, events, method, note, render, sse};
use crate::core::grant::Grant;
use crate::core::mirror::{Answer, Refusal};
use crate::core::snapshot::State;

/// Answers every path that is not the gateway's own.
pub(super) async fn read(gateway: &Gateway, request: Head, peer: SocketAddr) -> Response<Content> {
    answer(&gateway.0, request, peer).await.unwrap_or_else(other)
}

async fn answer(gateway: &Parts, request: Head, peer: SocketAddr) -> Result<Response<Content>, Error> {
    gateway.methods.check(&request)?;
    let key = gateway.routes.find(request.uri().path()).map_err(Error::Path)?;
    note::kind(Kind::Task);
    let visitor = gateway.access.visitor(&request, peer)?;
    note::client(visitor.client());
    if *request.method() == Method::DELETE {
        method::check_cancelling(&gateway.routes, &key)?;
        note::kind(Kind::Cancel);
        return Box::pin(cancel::answer(gateway, &visitor, key)).await.map(other);
    }
    let grant = visitor.grant(key)?;
    let way = way::of(&request, gateway.max_wait)?;
    note::kind(Kind::from(way));
    let limited = within_limits(gateway, &grant);
    let unless = IfNoneMatch::of(request.headers());
    let time = match way {
        Way::Stream if limited.is_err() => return Ok(other(sse::come_back())),
        Way::Stream => {
            return Ok(other(note::cause().within(|| events::open(gateway, &grant, request.headers()))));
        }
        Way::Plain => None,
        Way::Wait { time, .. } => Some(time),
    };
    limited?;
    if time.is_none()
        && let Some(hit) = gateway.mirror.at_once(&grant)
    {
        return Ok(told(gateway, &hit, &unless, render::room(request)));
    }
    // What many hold while they wait for the same adds up, and is cold when they are answered.
    drop(request);
    // What goes further than a look-up is worth a name in the log.
    let cause = note::cause();
    let answer = match time {
        None => Box::pin(cause.during(gateway.mirror.look_until(&grant, grant.ended()))).await,
        Some(time) => Box::pin(cause.during(wait(gateway, &grant, &unless, time))).await,
    };
    let mut response = match answer {
        Ok(answer) => told(gateway, &answer, &unless, HeaderMap::new()),
        Err(refusal) => other(Error::Refused(refusal)),
    };
    if let Way::Wait { time, preferred: true } = way {
        render::applied(&mut response, time);
    }
    Ok(response)
}

/// An answer, counted and rendered.
fn told(gateway: &Parts, answer: &Answer, unless: &IfNoneMatch, room: HeaderMap) -> Response<Content> {
    let now = Instant::now();
    note::outcome(answer.origin);
    gateway.tally.answer(&answer.state, answer.origin, now);
    render::answer(answer, unless, room, now)
}

fn within_limits(gateway: &Parts, grant: &Grant) -> Result<(), Error> {
    let now = Instant::now();
    gateway.limits.request(grant.client(), now)?;
    gateway.limits.new_task(grant.client(), now, || !gateway.mirror.knows(grant.key()))
}

/// The long-poll: with `If-None-Match` any other state is news, without only the end is. A drain, and the end
/// of the ticket, end it with the latest state.
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
