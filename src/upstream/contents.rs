//! Owns the requests for contents, and which of their answers are passed on.
//!
//! A content is never kept: its bytes go on as they come, and the upstream is read no faster than the client reads. Of
//! its fields an allow-list goes on.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Request, Response};
use tokio::time::{Duration, Instant, timeout};

use super::bodies::{Bodies, coding};
use super::classify;
use super::credentials::Credentials;
use super::sieve::Sieve;
use crate::config::Settings;
use crate::core::content::{Broken, Content, ContentBody, ContentRequest, Opened};
use crate::core::failure::Failure;
use crate::core::task::{Routes, TaskKey};

/// The fields of a content that go on.
const PASSED: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CONTENT_DISPOSITION,
];

/// The rules for contents.
pub(super) struct Contents {
    routes: Routes,
    types: Vec<String>,
    max_length: u64,
    stall_timeout: Duration,
    longest: Duration,
    bodies: Bodies,
    clock: fn() -> SystemTime,
}

/// Why an answer is not passed on.
pub(super) struct Unfit {
    pub(super) failure: Failure,
    /// For operators; `None` where the failure says all.
    pub(super) reason: Option<String>,
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self { failure, reason: None }
    }
}

impl Contents {
    pub(super) fn new(settings: &Settings, clock: fn() -> SystemTime) -> Self {
        Self {
            routes: settings.upstream.content_routes.clone(),
            types: settings.content.types.clone(),
            max_length: settings.content.max_length,
            stall_timeout: settings.content.stall_timeout,
            longest: settings.polling.max_stream,
            bodies: Bodies::new(settings.upstream.max_body),
            clock,
        }
    }

    /// Makes the request for a task one for its content.
    pub(super) fn address(&self, request: &mut Request, key: &TaskKey, asked: &ContentRequest) {
        if asked.is_head() {
            *request.method_mut() = Method::HEAD;
        }
        let query = self.routes.query_of(key);
        request.url_mut().set_query((!query.is_empty()).then_some(query));
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        request.headers_mut().extend(asked.fields().clone());
    }

    fn allows(&self, content_type: &HeaderValue) -> bool {
        let Ok(text) = content_type.to_str() else { return false };
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        self.types.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(kind) => essence.starts_with(kind),
            None => *allowed == essence,
        })
    }

    /// Whether an answer is a content: of a type and a length that are allowed, not encoded, and of the range that was
    /// asked for.
    fn check(&self, response: &Response, request: &ContentRequest) -> Result<(), String> {
        let fields = response.headers();
        if coding(fields).is_some() {
            return Err("it is encoded, although that was not asked for".to_owned());
        }
        match fields.get(header::CONTENT_TYPE) {
            Some(content_type) if self.allows(content_type) => {}
            given => {
                let given = given.map_or("none".into(), |given| String::from_utf8_lossy(given.as_bytes()));
                return Err(format!("content.types does not list its type, {}", given.escape_debug()));
            }
        }
        let length = length(fields);
        if length.is_some_and(|length| length > self.max_length) {
            return Err("it is longer than content.max_length".to_owned());
        }
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = fields.get(header::CONTENT_RANGE).and_then(part);
            if !request.has_range() || range.is_none_or(|part| length.is_some_and(|length| length != part)) {
                return Err("it is another part than was asked for".to_owned());
            }
        }
        Ok(())
    }

    /// The answer as far as it may be passed on.
    pub(super) async fn judge(
        &self,
        request: &ContentRequest,
        response: Response,
        credentials: Arc<Credentials>,
    ) -> Result<Opened, Unfit> {
        let status = response.status();
        let unfit = |reason| Unfit {
            failure: Failure::InvalidResponse { status: status.as_u16() },
            reason: Some(reason),
        };
        match status {
            StatusCode::NOT_MODIFIED if request.is_conditional() => {
                Ok(self.content(response, credentials, false))
            }
            StatusCode::RANGE_NOT_SATISFIABLE if request.has_range() => {
                Ok(self.content(response, credentials, false))
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                self.check(&response, request).map_err(unfit)?;
                Ok(self.content(response, credentials, !request.is_head()))
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let location = elsewhere(&response, &credentials).map_err(unfit)?;
                Ok(Opened::Elsewhere { status, location })
            }
            _ => match classify::by_status(status, response.headers(), (self.clock)()) {
                Some(Failure::RateLimited { retry_after: None }) => {
                    Err(self.bodies.named_in_body(response).await.into())
                }
                Some(failure) => Err(failure.into()),
                None => self
                    .words(request, response, &credentials)
                    .await
                    .map(|(content_type, body)| Opened::Answer { status, content_type, body }),
            },
        }
    }

    /// The upstream's words on why there is no content.
    async fn words(
        &self,
        request: &ContentRequest,
        response: Response,
        credentials: &Credentials,
    ) -> Result<(HeaderValue, Bytes), Unfit> {
        let failure = Failure::InvalidResponse { status: response.status().as_u16() };
        let content_type = credentials.scrub.content_type(response.headers().get(header::CONTENT_TYPE));
        if coding(response.headers()).is_some() {
            return Err(failure.into());
        }
        let body = self.bodies.read(response).await.map_err(|_| Failure::Unreachable)?;
        match body {
            Some(body) if request.is_head() || classify::is_json(&body) => {
                Ok((content_type, credentials.scrub.body(body)))
            }
            Some(_) | None => Err(failure.into()),
        }
    }

    fn content(&self, response: Response, credentials: Arc<Credentials>, has_body: bool) -> Opened {
        let status = response.status();
        let mut fields = HeaderMap::new();
        for name in PASSED {
            let value = response.headers().get(&name);
            // A body that does not follow has no length.
            let is_of_body = name == header::CONTENT_LENGTH || name == header::CONTENT_TYPE;
            if let Some(value) = value.filter(|_| !is_of_body || status.is_success())
                && !value.to_str().is_ok_and(|text| credentials.scrub.is_in(text))
            {
                fields.insert(name, value.clone());
            }
        }
        let body = has_body.then(|| self.body(response, credentials));
        Opened::Content(Content { status, fields, body })
    }

    /// The bytes as they come. The next ones are read when they are wanted.
    fn body(&self, response: Response, credentials: Arc<Credentials>) -> ContentBody {
        let (stall_timeout, max_length) = (self.stall_timeout, self.max_length);
        let ends = Instant::now() + self.longest;
        let chunks = stream::unfold(Some((response, 0)), move |state| async move {
            let (mut response, mut length) = state?;
            let chunk = match timeout(stall_timeout, response.chunk()).await {
                Ok(Ok(Some(_))) if Instant::now() >= ends => Err(Broken::Overdue),
                Ok(Ok(Some(chunk))) => {
                    length += chunk.len() as u64;
                    if length > max_length { Err(Broken::TooLong) } else { Ok(chunk) }
                }
                Ok(Ok(None)) => return None,
                Ok(Err(_)) => Err(Broken::Cut),
                Err(_) => Err(Broken::Stalled),
            };
            let next = chunk.is_ok().then_some((response, length));
            Some((chunk, next))
        });
        let mut sieve = Sieve::new(credentials);
        // An end behind the last chunk, to hand out what the sieve holds back.
        let chunks = chunks.map(Some).chain(stream::iter([None]));
        Box::pin(chunks.map(move |chunk| match chunk {
            Some(chunk) => chunk.map(|chunk| sieve.pass(chunk)),
            None => Ok(sieve.rest()),
        }))
    }
}

/// The address of a redirect to another host. One to the same host would have to be followed with the key, and none is.
fn elsewhere(response: &Response, credentials: &Credentials) -> Result<HeaderValue, String> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let Some(to) = location.and_then(|location| response.url().join(location).ok()) else {
        return Err("it is a redirect without an address".to_owned());
    };
    if to.host_str() == response.url().host_str() {
        let path = to.path();
        return Err(if credentials.scrub.is_in(path) {
            "it is a redirect on the same host".to_owned()
        } else {
            format!(
                "it is a redirect on the same host; write this path into upstream.routes: {}",
                path.escape_debug()
            )
        });
    }
    if !matches!(to.scheme(), "http" | "https") || credentials.scrub.is_in(to.as_str()) {
        return Err("it is a redirect to an address that may not be handed out".to_owned());
    }
    HeaderValue::try_from(to.as_str()).map_err(|_| "it is a redirect without an address".to_owned())
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The number of bytes that a `Content-Range` names (RFC 9110, 14.4).
fn part(range: &HeaderValue) -> Option<u64> {
    let (range, whole) = range.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let is_inside = whole == "*" || whole.parse::<u64>().is_ok_and(|whole| last < whole);
    (first <= last && is_inside).then(|| last - first + 1)
}
