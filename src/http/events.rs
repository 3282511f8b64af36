//! Owns the stream of one task: the current state, then every change once, until it is over.

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep_until};

use super::Parts;
use super::error::Error;
use super::sse;
use super::streams::Slot;
use crate::core::grant::Grant;
use crate::core::mirror::Origin;
use crate::core::snapshot::{Phase, Snapshot};
use crate::core::watch::{Sight, Watch};

/// HTML standard, 9.2.4.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The id of the last event of a task that is gone: whoever comes back with it has seen the end.
const GONE: &[u8] = b"gone";

/// Opens a stream. From here on the answer is always 200, or 204 for a client that has seen the end:
/// `EventSource` gives up for ever on anything else.
pub(super) fn open(gateway: &Parts, grant: &Grant, headers: &HeaderMap) -> Response {
    let seen = last_event_id(headers);
    let finished = gateway.mirror.known(grant).filter(|state| state.snapshot.phase == Phase::Terminal);
    let has_seen_the_end = seen.as_ref().is_some_and(|seen| {
        seen.as_bytes() == GONE || finished.is_some_and(|state| state.snapshot.etag == seen)
    });
    if has_seen_the_end {
        return sse::over();
    }
    let Some(slot) = gateway.streams.open(grant.client(), grant.ends()) else { return sse::come_back() };
    let Ok(watch) = gateway.mirror.watch(grant, seen.clone()) else { return sse::come_back() };
    // In a box: `unfold` keeps room for it twice.
    let events = Box::new(Events { watch, slot, seen });
    sse::response(stream::unfold(Some(events), |events| async move {
        let mut events = events?;
        let (bytes, is_last) = events.next().await;
        Some((bytes, (!is_last).then_some(events)))
    }))
}

/// What the client says it has seen last.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(LAST_EVENT_ID).cloned()
}

struct Events {
    watch: Watch,
    slot: Slot,
    seen: Option<HeaderValue>,
}

impl Events {
    /// The next bytes to send, and whether they are the last.
    async fn next(&mut self) -> (Bytes, bool) {
        let sight = tokio::select! {
            biased;
            // First: what comes after the end of a ticket is not for its holder.
            farewell = self.slot.ended() => return (farewell, true),
            sight = self.watch.next() => sight,
            () = sleep_until(self.slot.next_heartbeat()) => return (sse::heartbeat(), false),
        };
        match sight {
            Sight::State(state, origin) => {
                let is_over = state.snapshot.phase == Phase::Terminal;
                if is_over && self.seen.as_ref() == Some(&state.snapshot.etag) {
                    // Nothing new: the next reconnect will find this out at once.
                    return (sse::heartbeat(), true);
                }
                self.slot.tally().answer(&state, origin, Instant::now());
                let render =
                    |snapshot: &Snapshot| sse::event(None, Some(snapshot.etag.as_bytes()), &snapshot.body);
                (state.snapshot.event(render), is_over)
            }
            Sight::Trouble(refusal) => {
                (sse::event(Some("trouble"), None, &Error::Refused(refusal).envelope()), false)
            }
            Sight::Gone(state) => {
                self.slot.tally().answer(&state, Origin::Hit, Instant::now());
                (sse::event(Some("gone"), Some(GONE), &state.snapshot.body), true)
            }
        }
    }
}
