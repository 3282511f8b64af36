//! Owns the requests to the upstream, the only ones that carry the API key.
//!
//! A request consists of the base URL, the path of the [`TaskKey`], and the headers of the settings: nothing
//! of a client's request reaches the upstream. No redirect is followed, no proxy variable is obeyed, and no
//! answer is decompressed.

mod bodies;
pub mod classify;
mod connection_errors;
mod connections;
mod content_body;
mod contents;
mod counters;
mod credentials;
mod expiry;
mod hints;
mod json;
mod quota;
mod retry_after;
mod scrub;
mod setup_error;
mod sieve;
mod status;
mod unfit;
mod unusable;
mod usability;

use parking_lot::RwLock;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Request, Response};
use tokio::time::{Duration, Instant};
use url::Url;

use self::bodies::{Bodies, coding};
use self::classify::{Judge, Unreadable};
use self::connection_errors::{Causes, is_dead_connection};
use self::connections::Connections;
use self::contents::Contents;
pub use self::counters::UpstreamCounters;
use self::counters::{Attempt, AttemptKind};
use self::credentials::Credentials;
pub use self::setup_error::SetupError;
use self::unusable::{Reason, Unusable};
pub use self::usability::Usability;
use crate::config;
use crate::core::budget::Permit;
use crate::core::content::{ContentRequest, Opened};
use crate::core::failure::Failure;
use crate::core::ports::{Cancelling, Connection, Fetched, Fetching, Opening, Reply, Source};
use crate::core::snapshot::{Phase, Snapshot};
use crate::core::task::TaskKey;

/// The upstream, by HTTP/1.1 with or without TLS.
pub struct Upstream {
    connections: Connections,
    base_url: Url,
    judge: Judge,
    /// Replaced as a whole by a new key.
    credentials: RwLock<Arc<Credentials>>,
    bodies: Bodies,
    contents: Contents,
    clock: fn() -> SystemTime,
    usability: Arc<Usability>,
    counters: Arc<UpstreamCounters>,
}

/// An answer without the key: all that is kept of it.
struct Received {
    status: StatusCode,
    content_type: HeaderValue,
    /// The wait in `Retry-After`.
    retry_after: Option<Duration>,
    /// The body seems to be a web page.
    is_page: bool,
    body: Bytes,
}

/// A request that has brought no answer to use.
struct Unanswered {
    failure: Failure,
    /// `None` where the failure alone says what is to be done.
    reason: Option<Unusable>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, reason: None }
    }
}

impl Unanswered {
    fn invalid(status: StatusCode, reason: impl Into<Unusable>) -> Self {
        Self { failure: Failure::InvalidResponse { status: status.as_u16() }, reason: Some(reason.into()) }
    }

    fn unreachable(error: &reqwest::Error) -> Self {
        let reason = Unusable::no_answer(&Causes(error).to_string());
        Self { failure: Failure::Unreachable, reason: Some(reason) }
    }
}

impl Upstream {
    /// Sets up the clients, without a request. `clock` is the wall clock, to compare dates in answers with.
    ///
    /// # Errors
    /// The key or TLS cannot be used.
    pub fn new(settings: &config::Settings, clock: fn() -> SystemTime) -> Result<Self, SetupError> {
        let contents = Contents::new(settings, clock);
        let settings = &settings.upstream;
        // ring becomes the process-wide TLS provider; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            connections: Connections::new(settings.connect_timeout, &settings.ca)
                .map_err(SetupError::Client)?,
            base_url: settings.base_url.clone(),
            judge: Judge::new(settings),
            credentials: RwLock::new(Arc::new(Credentials::new(settings, &[])?)),
            bodies: Bodies::new(settings.max_body),
            contents,
            clock,
            usability: Arc::default(),
            counters: Arc::default(),
        })
    }

    async fn ask(
        &self,
        key: &TaskKey,
        permit: Permit,
        connection: Connection,
    ) -> Result<Fetched, Unanswered> {
        // Both permits are held until the body is read: until then the request counts as in flight.
        let credentials = self.credentials();
        let (response, attempt, _second) = self.send(key, &permit, &credentials, connection).await?;
        self.heed(&permit, &response);
        let answer = self.receive(key, response, attempt, &credentials).await?;
        self.judge(key, answer)
    }

    /// Sends a cancellation on a new connection: a pooled one that the upstream has just closed would cost
    /// the only attempt.
    async fn ask_to_cancel(&self, key: &TaskKey, permit: Permit) -> Result<Reply<Fetched>, Unanswered> {
        let credentials = self.credentials();
        let request = self.request(Method::DELETE, key, &credentials);
        let attempt = Attempt::begin(&self.counters, AttemptKind::Cancel);
        let response = match self.connections.fresh().execute(request).await {
            Ok(response) => response,
            Err(error) => {
                attempt.failed();
                return Err(Unanswered::unreachable(&error));
            }
        };
        self.heed(&permit, &response);
        let answer = self.receive(key, response, attempt, &credentials).await?;
        drop(permit);
        if !classify::is_json(&answer.body) {
            // "OK" is a word of success; an error page says that there is no such thing.
            let status = answer.status;
            return if status.is_success() {
                Ok(Reply::Silent(status))
            } else {
                Err(Failure::Refused { status: status.as_u16() }.into())
            };
        }
        self.judge(key, answer).map(Reply::Answer)
    }

    /// Asks for a content. The permit is held until the answer has begun, or is read if it is no content.
    async fn ask_to_open(
        &self,
        key: &TaskKey,
        asked: &ContentRequest,
        permit: Permit,
    ) -> Result<Opened, Failure> {
        let credentials = self.credentials();
        let mut request = self.request(Method::GET, key, &credentials);
        self.contents.address(&mut request, key, asked);
        let attempt = Attempt::begin(&self.counters, AttemptKind::Open);
        let response = match self.connections.fresh().execute(request).await {
            Ok(response) => response,
            Err(error) => {
                attempt.failed();
                return Err(Unanswered::unreachable(&error).failure);
            }
        };
        let status = response.status();
        self.heed(&permit, &response);
        let opened = self.contents.pass(key, asked, response, credentials).await;
        attempt.answered(status);
        opened
    }

    /// Remembers whether the answers to status requests can be used.
    fn note(&self, key: &TaskKey, result: Result<Fetched, Unanswered>) -> Result<Fetched, Failure> {
        match result {
            Ok(fetched) => {
                let Snapshot { phase, status, word, .. } = &fetched.snapshot;
                match phase {
                    Phase::Refused if *status == StatusCode::FORBIDDEN => {
                        self.usability.unusable(key, Reason::Forbidden.into());
                    }
                    Phase::Live | Phase::Terminal if self.judge.expects_word(key, *status) => {
                        self.usability.usable_with(key, word.is_some());
                    }
                    // A refusal in JSON is one of the API's.
                    Phase::Live | Phase::Terminal | Phase::Missing | Phase::Refused => {
                        self.usability.usable();
                    }
                }
                Ok(fetched)
            }
            Err(Unanswered { failure, reason: None }) => {
                if failure.status().is_some() {
                    self.usability.answered();
                }
                Err(failure)
            }
            Err(Unanswered { failure, reason: Some(reason) }) => {
                // What the upstream says of itself may hold the key, in any disguise.
                let credentials = self.credentials();
                self.usability.unusable(key, reason.without(|text| credentials.scrub.is_in(text)));
                Err(failure)
            }
        }
    }

    /// Slows the budget down where an answer tells a quota. A 429 is obeyed by itself.
    fn heed(&self, permit: &Permit, response: &Response) {
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            permit.heed(&quota::of(response.headers(), (self.clock)()));
        }
    }

    /// Reads a whole answer, and removes the key from it.
    async fn receive(
        &self,
        key: &TaskKey,
        response: Response,
        attempt: Attempt,
        sent: &Credentials,
    ) -> Result<Received, Unanswered> {
        let status = response.status();
        let now = (self.clock)();
        if let Some(failure) = classify::by_status(status, response.headers(), now) {
            attempt.answered(status);
            return Err(match failure {
                Failure::RateLimited { retry_after: None } => {
                    self.bodies.named_in_body(response).await.into()
                }
                Failure::InvalidResponse { .. } => {
                    let location = response.headers().get(header::LOCATION);
                    let location = location.and_then(|value| value.to_str().ok());
                    let to = Unusable::redirect(status, location, response.url(), key);
                    Unanswered { failure, reason: Some(to) }
                }
                failure => failure.into(),
            });
        }
        if let Some(coding) = coding(response.headers()) {
            attempt.answered(status);
            return Err(Unanswered::invalid(status, Unusable::encoded(coding)));
        }
        let retry_after = retry_after::plain(response.headers(), now);
        let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
        let Ok(read) = self.bodies.read(response).await else {
            attempt.failed();
            return Err(Failure::Unreachable.into());
        };
        attempt.answered(status);
        let Some(body) = read else { return Err(Unanswered::invalid(status, Reason::TooLarge)) };
        // "Not yet" without words. As an object it passes through streams and lists.
        let is_bare = body.is_empty() && self.judge.is_not_yet(key, status);
        let body = if is_bare { Bytes::from_static(b"{}") } else { body };
        let is_page = unusable::is_page(content_type.as_ref(), &body);
        // The key that was sent and the key in force are both removed: they differ after a reload.
        let now = self.credentials();
        let mut content_type = sent.scrub.content_type(content_type.as_ref());
        let mut body = sent.scrub.body(body);
        if !std::ptr::eq(sent, Arc::as_ptr(&now)) {
            content_type = now.scrub.content_type(Some(&content_type));
            body = now.scrub.body(body);
        }
        Ok(Received { status, content_type, retry_after, is_page, body })
    }

    fn judge(&self, key: &TaskKey, answer: Received) -> Result<Fetched, Unanswered> {
        let Received { status, content_type, retry_after, is_page, body } = answer;
        let mut fetched = self
            .judge
            .answer(key, status, content_type, body, Instant::now(), (self.clock)())
            .map_err(|unreadable| {
                let reason = match unreadable {
                    Unreadable::NotJson => Unusable::not_json(status, is_page),
                    Unreadable::NoState => Reason::NoState(status.as_u16()).into(),
                };
                Unanswered::invalid(status, reason)
            })?;
        if fetched.snapshot.phase == Phase::Live {
            fetched.snapshot.retry_after = retry_after;
        }
        Ok(fetched)
    }

    /// Sends a GET, and once more if its connection turned out dead: most often a pooled one that the
    /// upstream had just closed. A GET may be repeated (RFC 9110, 9.2.2). The second attempt needs a permit
    /// of its own, and is not made if none is free.
    async fn send(
        &self,
        key: &TaskKey,
        permit: &Permit,
        credentials: &Credentials,
        connection: Connection,
    ) -> Result<(Response, Attempt, Option<Permit>), Unanswered> {
        let ask = |client: &Client| client.execute(self.request(Method::GET, key, credentials));
        let first = match connection {
            Connection::Any => self.connections.any(),
            Connection::Fresh => self.connections.fresh().clone(),
        };
        let attempt = Attempt::begin(&self.counters, AttemptKind::Fetch);
        let broken = match ask(&first).await {
            Ok(response) => return Ok((response, attempt, None)),
            Err(error) => error,
        };
        attempt.failed();
        if !is_dead_connection(&broken) {
            return Err(Unanswered::unreachable(&broken));
        }
        let Some(second) = permit.another().await else { return Err(Unanswered::unreachable(&broken)) };
        let attempt = Attempt::begin(&self.counters, AttemptKind::Retry);
        match ask(self.connections.fresh()).await {
            Ok(response) => Ok((response, attempt, Some(second))),
            Err(error) => {
                attempt.failed();
                Err(Unanswered::unreachable(&error))
            }
        }
    }

    /// Uses the key of these settings from now on. False if it is the key in force.
    ///
    /// # Errors
    /// The new key cannot be used; the old one stays in force.
    pub fn renew_key(&self, settings: &config::Upstream) -> Result<bool, SetupError> {
        let old = self.credentials();
        if old.key == settings.api_key {
            return Ok(false);
        }
        let new = Credentials::new(settings, std::slice::from_ref(&old.key))?;
        *self.credentials.write() = Arc::new(new);
        Ok(true)
    }

    /// Whether the upstream's answers can be used.
    pub fn usability(&self) -> &Arc<Usability> {
        &self.usability
    }

    /// The counters of requests to the upstream.
    pub fn counters(&self) -> &Arc<UpstreamCounters> {
        &self.counters
    }

    fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read())
    }

    fn request(&self, method: Method, key: &TaskKey, credentials: &Credentials) -> Request {
        let mut request = Request::new(method, self.url(key));
        request.headers_mut().clone_from(&credentials.headers);
        request
    }

    fn url(&self, key: &TaskKey) -> Url {
        let mut url = self.base_url.clone();
        match self.base_url.path().trim_end_matches('/') {
            "" => url.set_path(key.path()),
            prefix => url.set_path(&format!("{prefix}{}", key.path())),
        }
        url
    }
}

impl Source for Upstream {
    fn fetch<'a>(&'a self, key: &'a TaskKey, permit: Permit, connection: Connection) -> Fetching<'a> {
        Box::pin(async move { self.note(key, self.ask(key, permit, connection).await) })
    }

    fn cancel<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Cancelling<'a> {
        Box::pin(
            async move { self.ask_to_cancel(key, permit).await.map_err(|unanswered| unanswered.failure) },
        )
    }

    fn open<'a>(&'a self, key: &'a TaskKey, request: &'a ContentRequest, permit: Permit) -> Opening<'a> {
        Box::pin(self.ask_to_open(key, request, permit))
    }

    fn distrust_connections(&self) {
        self.connections.distrust();
    }
}
