//! Owns the requests for contents, and which of their answers are passed on.
//!
//! A content is never kept: its bytes go on as they come, and the upstream is read no faster than the client reads. Of
//! its fields an allow-list goes on.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::{Request, Response};
use tokio::time::{Duration, Instant};

use super::bodies::{Bodies, coding};
use super::content_body::{self, Bounds};
use super::credentials::Credentials;
use super::unfit::{Told, Unfit};
use super::{classify, retry_after};
use crate::config::Settings;
use crate::core::content::{Content, ContentRequest, Opened};
use crate::core::failure::Failure;
use crate::core::task::{Routes, TaskKey};

/// The fields of a content that go on as they are. Its length is written anew.
const PASSED: [HeaderName; 5] = [
    header::CONTENT_TYPE,
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
    told: Told,
}

/// An answer that is not passed on.
pub(super) struct Refused {
    failure: Failure,
    /// `None` where the failure says all.
    reason: Option<Unfit>,
}

impl From<Failure> for Refused {
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
            told: Told::default(),
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

    /// The answer as far as it may be passed on. Operators are told why another one may not.
    pub(super) async fn pass(
        &self,
        key: &TaskKey,
        asked: &ContentRequest,
        response: Response,
        credentials: Arc<Credentials>,
    ) -> Result<Opened, Failure> {
        let status = response.status().as_u16();
        self.judge(asked, response, &credentials).await.map_err(|Refused { failure, reason }| {
            if let Some(reason) = reason {
                let reason = reason.without(|text| credentials.scrub.is_in(text));
                self.told.tell(key, status, &reason);
            }
            failure
        })
    }

    async fn judge(
        &self,
        asked: &ContentRequest,
        response: Response,
        credentials: &Arc<Credentials>,
    ) -> Result<Opened, Refused> {
        let status = response.status();
        let unfit = |reason| Refused {
            failure: Failure::InvalidResponse { status: status.as_u16() },
            reason: Some(reason),
        };
        match status {
            StatusCode::NOT_MODIFIED if asked.is_conditional() => Ok(without_bytes(&response, credentials)),
            StatusCode::PRECONDITION_FAILED if asked.has_precondition() => {
                Ok(without_bytes(&response, credentials))
            }
            StatusCode::RANGE_NOT_SATISFIABLE if asked.range().is_some() => {
                Ok(without_bytes(&response, credentials))
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                let (length, most) = self.check(&response, asked).map_err(unfit)?;
                let mut fields = passed(response.headers(), credentials);
                if let Some(length) = length {
                    fields.insert(header::CONTENT_LENGTH, length.into());
                }
                if status == StatusCode::PARTIAL_CONTENT {
                    pass_on(&header::CONTENT_RANGE, response.headers(), &mut fields, credentials);
                }
                let body = (!asked.is_head()).then(|| {
                    let ends = Instant::now() + self.longest;
                    let bounds = Bounds { length: most, stall: self.stall_timeout, ends };
                    content_body::of(response, bounds, Arc::clone(credentials))
                });
                Ok(Opened::Content(Content { status, fields, body }))
            }
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => {
                let location = elsewhere(&response, credentials).map_err(unfit)?;
                Ok(Opened::Elsewhere { status, location })
            }
            _ => match classify::by_status(status, response.headers(), (self.clock)()) {
                Some(Failure::RateLimited { retry_after: None }) => {
                    Err(self.bodies.named_in_body(response).await.into())
                }
                Some(failure) => Err(failure.into()),
                None => self.words(asked, response, credentials).await?.ok_or_else(|| unfit(Unfit::NoWords)),
            },
        }
    }

    /// Checks that an answer is a content: of a type and a length that are allowed, not encoded, and the range that was
    /// asked for. Returns its length, if that is known, and the most bytes that it may have.
    fn check(&self, response: &Response, asked: &ContentRequest) -> Result<(Option<u64>, u64), Unfit> {
        let fields = response.headers();
        if coding(fields).is_some() {
            return Err(Unfit::Encoded);
        }
        match fields.get(header::CONTENT_TYPE) {
            Some(content_type) if self.allows(content_type) => {}
            given => {
                return Err(Unfit::Type(
                    given.map(|given| String::from_utf8_lossy(given.as_bytes()).into_owned()),
                ));
            }
        }
        // What a HEAD announces has no body, from whose framing it could be read.
        let length = if asked.is_head() { announced(fields) } else { response.content_length() };
        let (whole, most) = if response.status() == StatusCode::PARTIAL_CONTENT {
            let part = fields.get(header::CONTENT_RANGE).and_then(Part::of).ok_or(Unfit::OtherPart)?;
            let is_asked_for = asked.range().is_some_and(|range| range.may_be(part.first, part.last));
            if !is_asked_for || length.is_some_and(|length| length != part.length()) {
                return Err(Unfit::OtherPart);
            }
            (part.whole.or(length), part.length())
        } else {
            (length, self.max_length)
        };
        if whole.is_some_and(|whole| whole > self.max_length) {
            return Err(Unfit::TooLong);
        }
        Ok((length, most))
    }

    fn allows(&self, content_type: &HeaderValue) -> bool {
        let Ok(text) = content_type.to_str() else { return false };
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        self.types.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(kind) => essence.starts_with(kind),
            None => *allowed == essence,
        })
    }

    /// The upstream's words on why there is no content; `None` if they are not JSON.
    async fn words(
        &self,
        asked: &ContentRequest,
        response: Response,
        credentials: &Credentials,
    ) -> Result<Option<Opened>, Failure> {
        let status = response.status();
        let given = response.headers().get(header::CONTENT_TYPE);
        let content_type = credentials.scrub.content_type(given);
        let retry_after = retry_after::plain(response.headers(), (self.clock)());
        // A HEAD has no words: their type has to do.
        let is_named_json = given.is_some_and(|given| *given == content_type);
        if coding(response.headers()).is_some() {
            return Ok(None);
        }
        let body = self.bodies.read(response).await.map_err(|_| Failure::Unreachable)?;
        let is_json = |body: &bytes::Bytes| {
            if asked.is_head() { is_named_json } else { classify::is_json(body) }
        };
        Ok(body.filter(is_json).map(|body| {
            let body = credentials.scrub.body(body);
            Opened::Answer { status, content_type, retry_after, body }
        }))
    }
}

/// An answer that has fields alone.
fn without_bytes(response: &Response, credentials: &Credentials) -> Opened {
    let status = response.status();
    let mut fields = passed(response.headers(), credentials);
    fields.remove(header::CONTENT_TYPE);
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        pass_on(&header::CONTENT_RANGE, response.headers(), &mut fields, credentials);
    }
    Opened::Content(Content { status, fields, body: None })
}

/// The fields that go on.
fn passed(given: &HeaderMap, credentials: &Credentials) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for name in &PASSED {
        pass_on(name, given, &mut fields, credentials);
    }
    fields
}

/// Passes a field on, unless it holds the key.
fn pass_on(name: &HeaderName, given: &HeaderMap, fields: &mut HeaderMap, credentials: &Credentials) {
    if let Some(value) = given.get(name).filter(|value| !credentials.scrub.is_in(value.as_bytes())) {
        fields.insert(name, value.clone());
    }
}

/// The address of a redirect to another host. One to the same host would have to be followed with the key, and none is.
fn elsewhere(response: &Response, credentials: &Credentials) -> Result<HeaderValue, Unfit> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let Some(to) = location.and_then(|location| response.url().join(location).ok()) else {
        return Err(Unfit::RedirectNowhere);
    };
    if to.host_str() == response.url().host_str() {
        return Err(Unfit::RedirectHere(Some(to.path().to_owned())));
    }
    if !matches!(to.scheme(), "http" | "https") || credentials.scrub.is_in(to.as_str()) {
        return Err(Unfit::RedirectNowhere);
    }
    HeaderValue::try_from(to.as_str()).map_err(|_| Unfit::RedirectNowhere)
}

/// The `Content-Length` of an answer, if it is one.
fn announced(fields: &HeaderMap) -> Option<u64> {
    let text = fields.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The part that a `Content-Range` names (RFC 9110, 14.4).
struct Part {
    first: u64,
    last: u64,
    /// The length of the whole; `None` if it is not known.
    whole: Option<u64>,
}

impl Part {
    fn of(range: &HeaderValue) -> Option<Self> {
        let (range, whole) = range.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let whole = if whole == "*" { None } else { Some(whole.parse().ok()?) };
        (first <= last && whole.is_none_or(|whole| last < whole)).then_some(Self { first, last, whole })
    }

    fn length(&self) -> u64 {
        self.last - self.first + 1
    }
}
