//! Owns the bytes of a content as they come from the upstream: the next ones are read when they are wanted.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use reqwest::Response;
use tokio::time::{Duration, Instant, timeout};

use super::credentials::Credentials;
use super::sieve::Sieve;
use crate::core::content::{Broken, ContentBody};

/// The bounds of a content's bytes.
pub(super) struct Bounds {
    /// The most bytes.
    pub(super) length: u64,
    /// The longest time without a byte.
    pub(super) stall: Duration,
    /// When the last byte has to be there.
    pub(super) ends: Instant,
}

/// The bytes of this answer, without the key.
pub(super) fn of(response: Response, bounds: Bounds, credentials: Arc<Credentials>) -> ContentBody {
    let chunks = stream::unfold(Some((response, 0)), move |state| {
        let Bounds { length: most, stall, ends } = bounds;
        async move {
            let (mut response, mut length) = state?;
            let chunk = match timeout(stall, response.chunk()).await {
                Ok(Ok(Some(_))) if Instant::now() >= ends => Err(Broken::Overdue),
                Ok(Ok(Some(chunk))) => {
                    length += chunk.len() as u64;
                    if length > most { Err(Broken::TooLong) } else { Ok(chunk) }
                }
                Ok(Ok(None)) => return None,
                Ok(Err(_)) => Err(Broken::Cut),
                Err(_) => Err(Broken::Stalled),
            };
            let next = chunk.is_ok().then_some((response, length));
            Some((chunk, next))
        }
    });
    let mut sieve = Sieve::new(credentials);
    // An end behind the last chunk, to hand out what the sieve holds back.
    let chunks = chunks.map(Some).chain(stream::iter([None]));
    Box::pin(chunks.map(move |chunk| match chunk {
        Some(chunk) => chunk.map(|chunk| sieve.pass(chunk)),
        None => Ok(sieve.rest()),
    }))
}
