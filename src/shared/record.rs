//! Owns the form of a state in Redis: a code, a header in JSON and the body, so that a state that was written by others,
//! or for another task, is not believed. Its times are those of Redis, in microseconds.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::clock::Clock;
use crate::core::hmac::Key;
use crate::core::shared::SharedState;
use crate::core::snapshot::{Phase, Snapshot};
use crate::core::state::State;
use crate::core::task::TaskKey;

const CODE: usize = 32;
/// The largest body that is shared. Larger ones take too long within a call; each replica fetches its own.
pub(super) const LARGEST: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Header<'h> {
    status: u16,
    #[serde(borrow)]
    content_type: Cow<'h, str>,
    phase: &'h str,
    fetched: u64,
    first_seen: u64,
    fresh_until: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_lifetime_ms: Option<u64>,
}

/// A state as it is kept.
pub(super) struct Record {
    pub(super) blob: Vec<u8>,
    /// The time until which it is fresh.
    pub(super) fresh_until: u64,
    pub(super) is_terminal: bool,
    /// The time for which it is worth keeping, in milliseconds.
    pub(super) life: u64,
}

/// The record of a state. `None`: it is not shared.
pub(super) fn write(
    key: &Key,
    task: &TaskKey,
    state: &State,
    sequence: u64,
    clock: &Clock,
    least_life: Duration,
) -> Option<Record> {
    let snapshot = &state.snapshot;
    if snapshot.body.len() > LARGEST {
        return None;
    }
    let phase = match snapshot.phase {
        Phase::Live => "live",
        Phase::Terminal => "terminal",
        Phase::Missing => "missing",
        Phase::Refused => return None,
    };
    let fresh_until = clock.at(state.fresh_until);
    let header = Header {
        status: snapshot.status.as_u16(),
        content_type: snapshot.content_type.to_str().ok()?.into(),
        phase,
        fetched: clock.at(snapshot.fetched),
        first_seen: clock.at(state.first_seen),
        fresh_until,
        word: snapshot.word.clone(),
        retry_after_ms: snapshot.retry_after.map(millis),
        result_lifetime_ms: snapshot.result_lifetime.map(millis),
    };
    let mut blob = vec![0; CODE];
    blob.extend(serde_json::to_vec(&header).ok()?);
    blob.push(b'\n');
    blob.extend_from_slice(&snapshot.body);
    let code = key.sign(&signed(task, sequence, &blob[CODE..]));
    blob[..CODE].copy_from_slice(&code);
    let life = millis(state.usable_until.saturating_duration_since(Instant::now()).max(least_life));
    Some(Record { blob, fresh_until, is_terminal: snapshot.phase == Phase::Terminal, life })
}

/// The state of a record. `None`: it does not verify.
pub(super) fn read(
    key: &Key,
    task: &TaskKey,
    sequence: u64,
    blob: &[u8],
    clock: &Clock,
) -> Option<SharedState> {
    let (code, content) = blob.split_at_checked(CODE)?;
    if !key.verifies(&signed(task, sequence, content), code) {
        return None;
    }
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let header: Header<'_> = serde_json::from_slice(content.get(..end)?).ok()?;
    let phase = match header.phase {
        "live" => Phase::Live,
        "terminal" => Phase::Terminal,
        "missing" => Phase::Missing,
        _ => return None,
    };
    let body = Bytes::copy_from_slice(content.get(end + 1..)?);
    let content_type = HeaderValue::from_str(&header.content_type).ok()?;
    let status = StatusCode::from_u16(header.status).ok()?;
    let mut snapshot = Snapshot::new(status, content_type, body, clock.then(header.fetched), phase);
    snapshot.word = header.word;
    snapshot.retry_after = header.retry_after_ms.map(Duration::from_millis);
    snapshot.result_lifetime = header.result_lifetime_ms.map(Duration::from_millis);
    snapshot.sequence = sequence;
    Some(SharedState { snapshot: Box::new(snapshot), first_seen: clock.then(header.first_seen) })
}

/// The message under the code: whose state it is, its number, and the state.
fn signed(task: &TaskKey, sequence: u64, content: &[u8]) -> Vec<u8> {
    let mut message = format!("{} {sequence}\n", task.path()).into_bytes();
    message.extend_from_slice(content);
    message
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
