//! Owns many tasks in one request: `GET /v1/tasks?id=a&id=b…`, as a list or as one stream.

use std::net::SocketAddr;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until};
use url::form_urlencoded;
use utoipa::ToSchema;

use super::access::Visitor;
use super::error::Error;
use super::tally::{Ending, Kind, Tally};
use super::way::{self, Way};
use super::{Gateway, Head, Parts, events, note, sse};
use crate::core::grant::Grant;
use crate::core::mirror::{Answer, Origin, Refusal};
use crate::core::snapshot::{Phase, State as Known};
use crate::core::watch::{Sight, Watch};

/// How many tasks one request may name.
pub(super) const MOST: usize = 100;
/// The id of the last event: whoever comes back with it has seen the end.
const END: &[u8] = b"end";

/// Answers the list's path.
pub(super) async fn read(gateway: &Gateway, request: &Head, peer: SocketAddr) -> Response {
    let gateway = &*gateway.0;
    note::kind(Kind::List);
    match Wish::read(gateway, request, peer) {
        Ok(wish) => answer(gateway, wish).await.unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    }
}

/// What is asked for.
struct Wish {
    ids: Vec<String>,
    visitor: Visitor,
    way: Way,
    has_seen_the_end: bool,
}

impl Wish {
    fn read(gateway: &Parts, request: &Head, peer: SocketAddr) -> Result<Self, Error> {
        gateway.methods.check_reading(request)?;
        let visitor = gateway.access.visitor(request, peer)?;
        note::client(visitor.client());
        let seen = events::last_event_id(request.headers());
        Ok(Self {
            ids: ids(request.uri().query().unwrap_or_default())?,
            visitor,
            way: way::of(request, gateway.max_wait)?,
            has_seen_the_end: seen.is_some_and(|id| id.as_bytes() == END),
        })
    }
}

async fn answer(gateway: &Parts, wish: Wish) -> Result<Response, Error> {
    let Wish { ids, visitor, way, has_seen_the_end } = wish;
    let limited = gateway.limits.request(visitor.client(), Instant::now());
    if way == Way::Stream {
        note::kind(Kind::ListStream);
        return Ok(match limited {
            _ if has_seen_the_end => sse::over(),
            Ok(()) => note::cause().within(|| stream(gateway, &ids, &visitor)),
            Err(_) => sse::come_back(),
        });
    }
    limited?;
    let until = Instant::now() + gateway.patience;
    let looks = join_all(ids.iter().map(|id| look(gateway, id, &visitor, until)));
    let items = note::cause().during(looks).await;
    note::outcome(Ending::Listed);
    Ok(list(&items))
}

fn ids(query: &str) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "id")
        .map(|(_, id)| id.into_owned())
        .collect();
    if (1..=MOST).contains(&ids.len()) {
        Ok(ids)
    } else {
        Err(Error::InvalidParameter("Name 1 to 100 tasks, such as /v1/tasks?id=ldtask_a&id=ldtask_b."))
    }
}

/// What may be read of what was asked for: a bare id is one of `/v1/tasks/{id}`, a path names its own route.
fn grant(gateway: &Parts, id: &str, visitor: &Visitor) -> Result<Grant, Error> {
    let key = if id.starts_with('/') { gateway.routes.find(id) } else { gateway.routes.bare(id) };
    let grant = visitor.grant(key.map_err(Error::Path)?)?;
    gateway.limits.new_task(grant.client(), Instant::now(), || !gateway.mirror.knows(grant.key()))?;
    Ok(grant)
}

/// The list, as it is sent. Only described: it is written from items that are bytes already.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its fields are what it is for")]
pub(super) struct List<'a> {
    /// `list`.
    object: &'static str,
    /// One for each that was asked for, in that order.
    data: Vec<Item<'a>>,
}

/// One of the list. `task` and `error` are JSON as it came.
#[derive(Serialize, ToSchema)]
pub(super) struct Item<'a> {
    /// As it was asked for.
    id: &'a str,
    /// Where it can be asked for alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// The status with which it would be answered alone.
    code: u16,
    /// The task, as the upstream answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    task: Option<&'a RawValue>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    error: Option<&'a RawValue>,
    /// There: the state stands in for one that cannot be had.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

async fn look(gateway: &Parts, id: &str, visitor: &Visitor, until: Instant) -> Vec<u8> {
    let until = visitor.ends().map_or(until, |ends| until.min(ends));
    let time_is_up = async {
        tokio::select! {
            () = sleep_until(until) => {}
            () = gateway.lifecycle.stopped() => {}
        }
    };
    match grant(gateway, id, visitor) {
        Err(error) => refused(id, None, &error),
        Ok(grant) => match gateway.mirror.look_until(&grant, time_is_up).await {
            Ok(Answer { state, origin, .. }) => {
                gateway.tally.answer(&state, origin, Instant::now());
                known(id, &grant, &state, matches!(origin, Origin::StandIn { .. }))
            }
            Err(refusal) => refused(id, Some(&grant), &Error::Refused(refusal)),
        },
    }
}

fn known(id: &str, grant: &Grant, state: &Known, stale: bool) -> Vec<u8> {
    let path = Some(grant.key().path());
    let code = state.snapshot.status.as_u16();
    let json: Option<&RawValue> = serde_json::from_slice(&state.snapshot.body).ok();
    let item = if state.snapshot.phase == Phase::Missing {
        Item { id, path, code, task: None, error: json.map(inner_error), stale }
    } else {
        Item { id, path, code, task: json, error: None, stale }
    };
    serde_json::to_vec(&item).unwrap_or_default()
}

fn refused(id: &str, grant: Option<&Grant>, error: &Error) -> Vec<u8> {
    let envelope = error.envelope();
    let json: Option<&RawValue> = serde_json::from_slice(&envelope).ok();
    let path = grant.map(|grant| grant.key().path());
    let code = error.status().as_u16();
    let item = Item { id, path, code, task: None, error: json.map(inner_error), stale: false };
    serde_json::to_vec(&item).unwrap_or_default()
}

/// What stands in an error envelope; anything else is the error as a whole.
fn inner_error(json: &RawValue) -> &RawValue {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    serde_json::from_str(json.get()).map_or(json, |Envelope { error }| error)
}

fn list(items: &[Vec<u8>]) -> Response {
    let mut body = br#"{"object":"list","data":["#.to_vec();
    body.extend_from_slice(&items.join(&b','));
    body.extend_from_slice(b"]}");
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// All of them as one stream, until each is over.
fn stream(gateway: &Parts, ids: &[String], visitor: &Visitor) -> Response {
    let Some(mut slot) = gateway.streams.open(visitor.client(), visitor.ends()) else {
        return sse::come_back();
    };
    let watches = FuturesUnordered::new();
    let mut spoiled = Vec::new();
    let mut is_whole = true;
    for id in ids {
        let watch = grant(gateway, id, visitor)
            .and_then(|grant| gateway.mirror.watch(&grant, None).map_err(Error::Refused));
        match watch {
            Ok(watch) => watches.push(next(id.clone(), watch)),
            Err(error) => {
                // A refusal that will pass is not the end of its task: the stream asks to come back then.
                let name = error.retry_after().map(|seconds| {
                    slot.end_within(seconds);
                    is_whole = false;
                    "trouble"
                });
                spoiled.push(sse::event(name, None, &refused(id, None, &error)));
            }
        }
    }
    let rest = stream::unfold(Some((watches, slot)), move |open| async move {
        let (mut watches, slot) = open?;
        if watches.is_empty() && is_whole {
            return Some((sse::event(Some("done"), Some(END), b"{}"), None));
        }
        let (id, watch, sight) = tokio::select! {
            biased;
            farewell = slot.ended() => return Some((farewell, None)),
            Some(next) = watches.next() => next,
            () = sleep_until(slot.next_heartbeat()) => {
                return Some((sse::heartbeat(), Some((watches, slot))));
            }
        };
        let (event, is_over) = tell(&id, watch.grant(), &sight, slot.tally());
        if !is_over {
            watches.push(next(id, watch));
        }
        Some((event, Some((watches, slot))))
    });
    sse::response(stream::iter(spoiled).chain(rest))
}

async fn next(id: String, mut watch: Watch) -> (String, Watch, Sight) {
    let sight = watch.next().await;
    (id, watch, sight)
}

/// A sight as an event, and whether it was the task's last.
fn tell(id: &str, grant: &Grant, sight: &Sight, tally: &Tally) -> (Bytes, bool) {
    match sight {
        Sight::State(state, origin) => {
            tally.answer(state, *origin, Instant::now());
            let event = sse::event(None, None, &known(id, grant, state, !state.is_fresh(Instant::now())));
            (event, state.snapshot.phase == Phase::Terminal)
        }
        Sight::Trouble(Refusal { reason, retry_after }) => {
            let error = Error::Refused(Refusal { reason: *reason, retry_after: *retry_after });
            (sse::event(Some("trouble"), None, &refused(id, Some(grant), &error)), false)
        }
        Sight::Gone(state) => {
            tally.answer(state, Origin::Hit, Instant::now());
            (sse::event(Some("gone"), None, &known(id, grant, state, false)), true)
        }
    }
}
