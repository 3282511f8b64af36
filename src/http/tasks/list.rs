//! Owns requests for many tasks: `GET /v1/tasks?id=a&id=b…`, answered as a list or as one stream.

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
use crate::core::snapshot::Phase;
use crate::core::watch::{Watch, WatchEvent};
use crate::http::gateway::Parts;
use crate::http::guards::access::Caller;
use crate::http::head::Head;
use crate::http::request_log::{self, Ending, RequestCounters, RequestKind};
use crate::http::respond::error::Error;
use crate::http::respond::list_body::{self, MOST};
use crate::http::respond::sse;
use crate::peer::Peer;

/// The id of the last event: a client that reconnects with it has seen the end.
const END: &[u8] = b"end";

/// Answers a request for `/v1/tasks`.
pub(in crate::http) async fn read(gateway: &Parts, request: &Head, peer: &Peer) -> Result<Response, Error> {
    request_log::kind(RequestKind::List);
    answer(gateway, ListQuery::read(gateway, request, peer)?).await
}

/// A parsed request for a list, and its caller.
struct ListQuery {
    ids: Vec<String>,
    caller: Caller,
    mode: ReadMode,
    has_seen_the_end: bool,
}

impl ListQuery {
    fn read(gateway: &Parts, request: &Head, peer: &Peer) -> Result<Self, Error> {
        gateway.methods.check_reading(request)?;
        let caller = gateway.access.caller(request, peer.address())?;
        request_log::client(caller.client());
        let seen = stream::last_event_id(request.headers());
        Ok(Self {
            ids: ids(request.uri().query().unwrap_or_default())?,
            caller,
            mode: read_mode::of(request, gateway.max_wait)?,
            has_seen_the_end: seen.is_some_and(|id| id.as_bytes() == END),
        })
    }
}

async fn answer(gateway: &Parts, query: ListQuery) -> Result<Response, Error> {
    let ListQuery { ids, caller, mode, has_seen_the_end } = query;
    let limited = gateway.limits.request(caller.client(), Instant::now());
    if mode == ReadMode::Stream {
        request_log::kind(RequestKind::ListStream);
        return Ok(match limited {
            _ if has_seen_the_end => stream::over(),
            Ok(()) => request_log::cause().within(|| watch_all(gateway, &ids, &caller)),
            Err(_) => stream::come_back(),
        });
    }
    limited?;
    let until = Instant::now() + gateway.patience;
    let looks = join_all(ids.iter().map(|id| look(gateway, id, &caller, until)));
    let items = request_log::cause().during(looks).await;
    request_log::outcome(Ending::Listed);
    Ok(list_body::response(&items))
}

fn ids(query: &str) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "id")
        .map(|(_, id)| id.into_owned())
        .collect();
    if (1..=MOST).contains(&ids.len()) {
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

async fn look(gateway: &Parts, id: &str, caller: &Caller, until: Instant) -> Vec<u8> {
    let until = caller.ends().map_or(until, |ends| until.min(ends));
    let time_is_up = async {
        tokio::select! {
            () = sleep_until(until) => {}
            () = gateway.lifecycle.stopped() => {}
        }
    };
    match grant(gateway, id, caller) {
        Err(error) => list_body::refused(id, None, &error),
        Ok(grant) => match gateway.mirror.look(&grant, time_is_up).await {
            Ok(Answer { state, origin, .. }) => {
                gateway.counters.answer(&state, origin, Instant::now());
                list_body::known(id, grant.key().path(), &state, matches!(origin, Origin::StandIn { .. }))
            }
            Err(refusal) => list_body::refused(id, Some(grant.key().path()), &Error::Refused(refusal)),
        },
    }
}

/// One stream of all listed tasks, until each is over.
fn watch_all(gateway: &Parts, ids: &[String], caller: &Caller) -> Response {
    let Some(mut slot) = gateway.streams.open(caller.client(), caller.ends()) else {
        return stream::come_back();
    };
    let watches = FuturesUnordered::new();
    let mut spoiled = Vec::new();
    let mut is_whole = true;
    for id in ids {
        let watch = grant(gateway, id, caller)
            .and_then(|grant| gateway.mirror.watch(&grant, None).map_err(Error::Refused));
        match watch {
            Ok(watch) => watches.push(next(id.clone(), watch)),
            Err(error) => {
                // A temporary refusal does not end its task: the stream ends when a retry is worth it, so
                // that the client reconnects then.
                let name = error.retry_after().map(|seconds| {
                    slot.end_within(seconds);
                    is_whole = false;
                    "trouble"
                });
                spoiled.push(sse::event(name, None, &list_body::refused(id, None, &error)));
            }
        }
    }
    let rest = streams::unfold(Some((watches, slot)), move |open| async move {
        let (mut watches, slot) = open?;
        if watches.is_empty() && is_whole {
            return Some((sse::event(Some("done"), Some(END), b"{}"), None));
        }
        let (id, watch, event) = tokio::select! {
            biased;
            farewell = slot.ended() => return Some((farewell, None)),
            Some(next) = watches.next() => next,
            () = sleep_until(slot.next_heartbeat()) => {
                return Some((sse::heartbeat(), Some((watches, slot))));
            }
        };
        let (event, is_over) = tell(&id, watch.grant(), &event, slot.counters());
        if !is_over {
            watches.push(next(id, watch));
        }
        Some((event, Some((watches, slot))))
    });
    stream::open(streams::iter(spoiled).chain(rest))
}

async fn next(id: String, mut watch: Watch) -> (String, Watch, WatchEvent) {
    let event = watch.next().await;
    (id, watch, event)
}

/// A watch's event as a server-sent event, and whether it was the task's last.
fn tell(id: &str, grant: &Grant, event: &WatchEvent, counters: &RequestCounters) -> (Bytes, bool) {
    match event {
        WatchEvent::State(state, origin) => {
            counters.answer(state, *origin, Instant::now());
            let event = sse::event(
                None,
                None,
                &list_body::known(id, grant.key().path(), state, !state.is_fresh(Instant::now())),
            );
            (event, state.snapshot.phase == Phase::Terminal)
        }
        WatchEvent::Trouble(Refusal { reason, retry_after }) => {
            let error = Error::Refused(Refusal { reason: *reason, retry_after: *retry_after });
            (
                sse::event(Some("trouble"), None, &list_body::refused(id, Some(grant.key().path()), &error)),
                false,
            )
        }
        WatchEvent::Gone(state) => {
            counters.answer(state, Origin::Hit, Instant::now());
            (sse::event(Some("gone"), None, &list_body::known(id, grant.key().path(), state, false)), true)
        }
    }
}
