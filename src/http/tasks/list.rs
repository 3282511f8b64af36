//! Owns requests for many tasks: `GET /v1/tasks?id=a&id=b…`, answered as a list or as one stream.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self as streams, FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use url::form_urlencoded;

use super::read_mode::{self, ReadMode};
use super::stream;
use crate::core::answer::{Answer, Origin, Refusal};
use crate::core::grant::Grant;
use crate::core::places::{Full, Manner, Place};
use crate::core::snapshot::Phase;
use crate::core::watch::{Watch, WatchEvent};
use crate::http::gateway::Parts;
use crate::http::guards::access::Caller;
use crate::http::guards::streams::{Next, Slot};
use crate::http::head::Head;
use crate::http::request_log::{self, Ending, RequestKind};
use crate::http::respond::error::Error;
use crate::http::respond::estimate;
use crate::http::respond::list_body::{self, MOST};
use crate::http::respond::sse::{self, Event};

/// The id of the last event: a client that reconnects with it has seen the end.
const END: &[u8] = b"end";

/// The listed ids, with a grant for each that may be read.
type Granted<'i> = Vec<(&'i String, Result<Grant, Error>)>;

/// Answers a request for `/v1/tasks`.
pub(in crate::http) async fn read(
    gateway: &Parts,
    request: &Head,
    place: &Arc<Place>,
) -> Result<Response, Error> {
    request_log::kind(RequestKind::List);
    answer(gateway, ListQuery::read(gateway, request, place)?, place).await
}

/// A parsed request for a list, and its caller.
struct ListQuery {
    ids: Vec<String>,
    caller: Caller,
    claimed: Result<(), Full>,
    mode: ReadMode,
    has_seen_the_end: bool,
}

impl ListQuery {
    fn read(gateway: &Parts, request: &Head, place: &Place) -> Result<Self, Error> {
        gateway.methods.check_reading(request)?;
        let caller = gateway.access.caller(request, place.peer())?;
        request_log::client(caller.client());
        let claimed = place.claim(caller.client());
        let seen = stream::last_event_id(request);
        Ok(Self {
            ids: ids(request.uri().query().unwrap_or_default())?,
            caller,
            claimed,
            mode: read_mode::of(request, gateway.max_wait)?,
            has_seen_the_end: seen.is_some_and(|id| id.as_bytes() == END),
        })
    }
}

async fn answer(gateway: &Parts, query: ListQuery, place: &Arc<Place>) -> Result<Response, Error> {
    let ListQuery { ids, caller, claimed, mode, has_seen_the_end } = query;
    let limited = claimed
        .map_err(|Full| gateway.overloaded())
        .and_then(|()| gateway.limits.request(caller.client(), Instant::now()));
    if mode == ReadMode::Stream {
        request_log::kind(RequestKind::ListStream);
        return Ok(match limited {
            _ if has_seen_the_end => stream::over(),
            Ok(()) => {
                let grants = caught_up(gateway, &ids, &caller).await;
                request_log::cause().within(|| watch_all(gateway, grants, &caller, place))
            }
            Err(_) => stream::come_back(),
        });
    }
    limited?;
    let until = Instant::now() + gateway.patience;
    let looks = join_all(ids.iter().map(|id| look(gateway, id, &caller, until, place)));
    let waiting = place.wait();
    let items = request_log::cause().during(looks).await;
    drop(waiting);
    request_log::outcome(Ending::Listed);
    Ok(list_body::response(items))
}

/// The listed ids, each once, at its first place. Repeated ids count towards the 100.
fn ids(query: &str) -> Result<Vec<String>, Error> {
    let mut asked = 0;
    let mut ids: Vec<String> = Vec::new();
    for (_, id) in form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "id").take(MOST + 1) {
        asked += 1;
        if !ids.iter().any(|known| **known == *id) {
            ids.push(id.into_owned());
        }
    }
    if (1..=MOST).contains(&asked) {
        Ok(ids)
    } else {
        Err(Error::InvalidParameter("A list has 1 to 100 tasks, such as /v1/tasks?id=ldtask_a&id=ldtask_b."))
    }
}

/// The grant for one listed task. A bare id means `/v1/tasks/{id}`; a path names its own route.
fn grant(gateway: &Parts, id: &str, caller: &Caller) -> Result<Grant, Error> {
    let key = if id.starts_with('/') { gateway.routes.find(id) } else { gateway.routes.bare(id) };
    let grant = caller.grant(key.map_err(Error::Path)?)?;
    gateway.limits.new_task(grant.client(), Instant::now(), || !gateway.mirror.knows(grant.key()))?;
    Ok(grant)
}

async fn look(gateway: &Parts, id: &str, caller: &Caller, until: Instant, place: &Place) -> Vec<Bytes> {
    let until = caller.ends().map_or(until, |ends| until.min(ends));
    let time_is_up = async {
        tokio::select! {
            () = sleep_until(until) => {}
            () = gateway.lifecycle.stopped() => {}
            () = place.leave(Manner::Politely) => {}
        }
    };
    match grant(gateway, id, caller) {
        Err(error) => list_body::refused(id, None, &error),
        Ok(grant) => match gateway.mirror.look(&grant, time_is_up).await {
            Ok(Answer { state, .. }) if place.hold(&state.snapshot.body).is_err() => {
                list_body::refused(id, Some(grant.key().path()), &gateway.overloaded())
            }
            Ok(Answer { state, origin, .. }) => {
                gateway.counters.answer(&state, origin, Instant::now());
                list_body::known(id, grant.key().path(), &state, matches!(origin, Origin::StandIn { .. }))
            }
            Err(refusal) => list_body::refused(id, Some(grant.key().path()), &Error::Refused(refusal)),
        },
    }
}

/// The grants for all listed tasks, of which what other replicas know is known here.
async fn caught_up<'i>(gateway: &Parts, ids: &'i [String], caller: &Caller) -> Granted<'i> {
    let grants: Granted<'i> = ids.iter().map(|id| (id, grant(gateway, id, caller))).collect();
    let granted = grants.iter().filter_map(|(_, grant)| grant.as_ref().ok());
    join_all(granted.map(|grant| gateway.mirror.catch_up(grant, None))).await;
    grants
}

/// One stream of all listed tasks, until each is over.
fn watch_all(gateway: &Parts, grants: Granted<'_>, caller: &Caller, place: &Arc<Place>) -> Response {
    let Some(mut slot) = gateway.streams.open(caller.client(), caller.ends(), place) else {
        return stream::come_back();
    };
    let watches = FuturesUnordered::new();
    let mut first = Vec::new();
    let mut is_whole = true;
    for (id, grant) in grants {
        let watch = grant.and_then(|grant| match gateway.mirror.finished(&grant) {
            // A finished task needs no place, nor a refresh.
            Some(state) if place.hold(&state.snapshot.body).is_err() => Err(gateway.overloaded()),
            Some(state) => {
                gateway.counters.answer(&state, Origin::Hit, Instant::now());
                first.push(item(None, list_body::known(id, grant.key().path(), &state, false)));
                Ok(None)
            }
            None => gateway.mirror.watch(&grant, None).map(Some).map_err(Error::Refused),
        });
        match watch {
            Ok(Some(watch)) => watches.push(next(id.clone(), watch)),
            Ok(None) => {}
            Err(error) => {
                // A temporary refusal does not end its task: the stream ends when a retry is worth it, so
                // that the client reconnects then.
                let name = error.retry_after().map(|seconds| {
                    slot.end_within(seconds);
                    is_whole = false;
                    "trouble"
                });
                first.push(item(name, list_body::refused(id, None, &error)));
            }
        }
    }
    let rest = streams::unfold(Some((watches, slot, is_whole)), move |open| async move {
        let (mut watches, mut slot, is_whole) = open?;
        if watches.is_empty() && is_whole {
            return Some((Event::written(sse::event(Some("done"), Some(END), b"{}")), None));
        }
        let next_of_all = async {
            match watches.next().await {
                Some(next) => next,
                None => pending().await,
            }
        };
        let next_of_stream = slot.next(pin!(next_of_all)).await;
        let (id, watch, event) = match next_of_stream {
            Next::Event(next) => next,
            Next::Heartbeat => {
                return Some((Event::written(sse::heartbeat()), Some((watches, slot, is_whole))));
            }
            Next::Farewell(farewell) => return Some((Event::written(farewell), None)),
        };
        let (event, then) = tell(&id, watch.grant(), &event, &slot);
        let is_whole = match then {
            Then::Watch => {
                watches.push(next(id, watch));
                is_whole
            }
            Then::End => is_whole,
            Then::ComeBack { within } => {
                slot.end_within(within);
                false
            }
        };
        Some((event, Some((watches, slot, is_whole))))
    });
    stream::open(streams::iter(first).chain(rest))
}

async fn next(id: String, mut watch: Watch) -> (String, Watch, WatchEvent) {
    let event = watch.next().await;
    (id, watch, event)
}

/// The step after an event of a task.
enum Then {
    /// The task is watched further.
    Watch,
    /// It was the task's last.
    End,
    /// The task has lost its place: the client has to reconnect, within so many seconds.
    ComeBack { within: u64 },
}

fn item(name: Option<&str>, data: Vec<Bytes>) -> Event {
    Event::new(name, None, data)
}

/// A watch's event as a server-sent event, and what follows it.
fn tell(id: &str, grant: &Grant, event: &WatchEvent, slot: &Slot) -> (Event, Then) {
    let path = grant.key().path();
    let trouble = |refusal: &Refusal| {
        let error = Error::Refused(*refusal);
        item(Some("trouble"), list_body::refused(id, Some(path), &error))
    };
    match event {
        WatchEvent::State(state, origin) => {
            if let Err(refusal) = slot.hold(&state.snapshot.body) {
                return (trouble(&refusal), Then::ComeBack { within: refusal.retry_after });
            }
            let now = Instant::now();
            slot.counters().answer(state, *origin, now);
            let event = item(None, list_body::known(id, path, state, !state.is_fresh(now)));
            let is_over = state.snapshot.phase == Phase::Terminal;
            (event, if is_over { Then::End } else { Then::Watch })
        }
        WatchEvent::Estimate(told) => {
            (item(Some("estimate"), vec![estimate::data(Some((id, path)), *told)]), Then::Watch)
        }
        WatchEvent::Trouble(refusal) => (trouble(refusal), Then::Watch),
        WatchEvent::Evicted(refusal) => (trouble(refusal), Then::ComeBack { within: refusal.retry_after }),
        WatchEvent::Gone(state) => {
            slot.counters().answer(state, Origin::Hit, Instant::now());
            (item(Some("gone"), list_body::known(id, path, state, false)), Then::End)
        }
    }
}
