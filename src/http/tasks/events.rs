//! Owns the stream of one task: the current state, then every change once, until the task is over.

use std::pin::pin;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{iter, unfold};
use http::HeaderValue;
use tokio::time::Instant;

use super::stream;
use crate::core::answer::{Origin, Refusal};
use crate::core::grant::Grant;
use crate::core::mirror::Mirror;
use crate::core::places::Place;
use crate::core::snapshot::Phase;
use crate::core::state::State;
use crate::core::watch::{Watch, WatchEvent};
use crate::http::gateway::Parts;
use crate::http::guards::streams::{Next, Slot};
use crate::http::respond::error::Error;
use crate::http::respond::estimate;
use crate::http::respond::sse::{self, Event};

/// The id of the last event of a missing task: a client that reconnects with it has seen the end.
const GONE: &[u8] = b"gone";
/// The largest body whose event is kept for all watches, in bytes.
const SHARED: usize = 16 * 1024;

/// Answers a request for a task's stream. `seen` is the id of the last event that the client has.
pub(super) fn open(
    gateway: &Parts,
    grant: &Grant,
    seen: Option<HeaderValue>,
    place: &Arc<Place>,
) -> Response {
    let finished = gateway.mirror.known(grant).filter(|state| state.snapshot.phase == Phase::Terminal);
    let has_seen_the_end = seen.as_ref().is_some_and(|seen| {
        seen.as_bytes() == GONE || finished.is_some_and(|state| state.snapshot.etag == seen)
    });
    if has_seen_the_end {
        return stream::over();
    }
    // A finished task needs no place, nor a refresh.
    if let Some(state) = gateway.mirror.finished(grant)
        && place.hold(&state.snapshot.body).is_ok()
    {
        gateway.counters.answer(&state, Origin::Hit, Instant::now());
        let event = render(&gateway.mirror, grant, &state);
        return stream::open(iter([event]));
    }
    let Some(slot) = gateway.streams.open(grant.client(), grant.ends(), place) else {
        return stream::come_back();
    };
    let Ok(watch) = gateway.mirror.watch(grant, seen.clone()) else { return stream::come_back() };
    // In a box: `unfold` holds space for its state twice.
    let events = Box::new(Events { mirror: gateway.mirror.clone(), watch, slot, seen });
    stream::open(unfold(Some(events), |events| async move {
        let mut events = events?;
        let (bytes, is_last) = events.next().await;
        Some((bytes, (!is_last).then_some(events)))
    }))
}

struct Events {
    mirror: Mirror,
    watch: Watch,
    slot: Slot,
    seen: Option<HeaderValue>,
}

/// The event of a state. A small one is rendered once for all watches; a large one shares the body, and is made as it is
/// written.
fn render(mirror: &Mirror, grant: &Grant, state: &Arc<State>) -> Event {
    let snapshot = &state.snapshot;
    let event = || Event::new(None, Some(snapshot.etag.as_bytes()), [snapshot.body.clone()]);
    if snapshot.body.len() > SHARED {
        event()
    } else {
        Event::written(mirror.event(grant, state, || event().whole()))
    }
}

fn trouble(refusal: Refusal) -> Bytes {
    sse::event(Some("trouble"), None, &Error::Refused(refusal).envelope())
}

/// The last event of a stream for which there is no place, or no room: its client has to reconnect.
fn overloaded(refusal: Refusal) -> Event {
    Event::written([trouble(refusal), sse::retry()].concat().into())
}

impl Events {
    /// The next bytes to send, and whether they are the last.
    async fn next(&mut self) -> (Event, bool) {
        let event = match self.slot.next(pin!(self.watch.next())).await {
            Next::Event(event) => event,
            Next::Heartbeat => return (Event::written(sse::heartbeat()), false),
            Next::Farewell(farewell) => return (Event::written(farewell), true),
        };
        match event {
            WatchEvent::State(state, origin) => {
                let is_over = state.snapshot.phase == Phase::Terminal;
                if is_over && self.seen.as_ref() == Some(&state.snapshot.etag) {
                    // The client has this state already. Its next reconnect gets 204 at once.
                    return (Event::written(sse::heartbeat()), true);
                }
                if let Err(refusal) = self.slot.hold(&state.snapshot.body) {
                    return (overloaded(refusal), true);
                }
                self.slot.counters().answer(&state, origin, Instant::now());
                (render(&self.mirror, self.watch.grant(), &state), is_over)
            }
            WatchEvent::Estimate(told) => {
                (Event::written(sse::event(Some("estimate"), None, &estimate::data(None, told))), false)
            }
            WatchEvent::Trouble(refusal) => (Event::written(trouble(refusal)), false),
            WatchEvent::Evicted(refusal) => (overloaded(refusal), true),
            WatchEvent::Gone(state) => {
                self.slot.counters().answer(&state, Origin::Hit, Instant::now());
                (Event::new(Some("gone"), Some(GONE), [state.snapshot.body.clone()]), true)
            }
        }
    }
}
