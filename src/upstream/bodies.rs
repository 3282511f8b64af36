//! Owns the reading of the bodies of answers, up to their largest size.

use bytes::Bytes;
use http::{HeaderMap, header};
use reqwest::Response;
use tokio::time::{Duration, timeout};

use super::{classify, retry_after};
use crate::core::failure::Failure;

/// The most memory reserved for a body on the word of its `Content-Length`, in bytes.
const MAX_AHEAD: usize = 64 * 1024;

/// The time to read the body of a 429 that names its wait nowhere else.
const READING_429: Duration = Duration::from_secs(1);

/// Reads bodies of at most so many bytes.
pub(super) struct Bodies {
    max: usize,
}

impl Bodies {
    pub(super) fn new(max: usize) -> Self {
        Self { max }
    }

    /// The whole body; `None` if it is larger than `max_body`.
    pub(super) async fn read(&self, mut response: Response) -> reqwest::Result<Option<Bytes>> {
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > self.max {
            return Ok(None);
        }
        // The announcement may be false: more than this is allocated only for a body that has begun to come.
        let mut body = Vec::with_capacity(announced.min(MAX_AHEAD));
        // The end of the connection ends a body without a length (RFC 9112, 6.3). If that end is not a clean one, the
        // body may be cut; but no object is complete before its end.
        let ends_with_connection = response.content_length().is_none()
            && !response.headers().contains_key(header::TRANSFER_ENCODING);
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(_) if ends_with_connection && classify::is_whole_object(&body) => break,
                Err(error) => return Err(error),
            };
            if body.len() + chunk.len() > self.max {
                return Ok(None);
            }
            if chunk.len() > body.capacity() - body.len() && announced > body.len() {
                body.reserve_exact(announced - body.len());
            }
            body.extend_from_slice(&chunk);
        }
        // It may be kept for an hour: without spare capacity, which no bound counts.
        body.shrink_to_fit();
        Ok(Some(body.into()))
    }

    /// A 429 whose headers name no wait: its body may. It is read for a moment only, because the gate has to close.
    pub(super) async fn named_in_body(&self, response: Response) -> Failure {
        let body = timeout(READING_429, self.read(response)).await;
        let body = body.ok().and_then(Result::ok).flatten();
        let retry_after = body.and_then(|body| retry_after::in_body(&body));
        Failure::RateLimited { retry_after }
    }
}

/// The coding of an answer, if it is another than `identity`, which was asked for.
pub(super) fn coding(headers: &HeaderMap) -> Option<&[u8]> {
    let coding = headers.get(header::CONTENT_ENCODING)?.as_bytes().trim_ascii();
    (!coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")).then_some(coding)
}
