//! Owns the calls to the upstream: it alone holds the API key.
//!
//! A request is built from nothing: base URL, the key's path, and the headers from the settings. No
//! redirect is followed, no proxy variable obeyed, nothing decompressed.

pub mod classify;
mod expiry;
mod retry_after;
mod scrub;
mod trouble;

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Client, Response, redirect, retry};
use thiserror::Error;
use tokio::time::Instant;
use url::Url;

use self::classify::Judge;
use self::scrub::Scrub;
use self::trouble::Trouble;
use crate::config;
use crate::core::budget::Permit;
use crate::core::ports::{Failure, Fetching, Source};
use crate::core::snapshot::Snapshot;
use crate::core::task::TaskKey;

/// Idle connections kept to the upstream, at most.
const MAX_IDLE: usize = 32;

/// Why the upstream's client cannot be made. Never shows the key.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The key cannot stand in a header.
    #[error(
        "the API key holds characters that no HTTP header can carry: check the variable or file it comes from"
    )]
    Key,
    /// TLS or the system's root certificates.
    #[error("the HTTPS client cannot be set up: {0}; install the system's CA certificates")]
    Client(#[source] reqwest::Error),
}

/// The upstream, reached by HTTP/1.1 over TLS or in plain.
pub struct Upstream {
    /// Keeps connections open between requests.
    pooled: Client,
    /// Opens one for each request: for the second attempt, where a pooled one turned out dead.
    fresh: Client,
    base_url: Url,
    judge: Judge,
    scrub: Scrub,
    max_body: usize,
    clock: fn() -> SystemTime,
    trouble: Trouble,
}

impl Upstream {
    /// Prepares the clients; sends nothing yet. `clock` is the wall clock, which dates are compared with.
    ///
    /// # Errors
    /// A [`SetupError`] that says what to mend.
    pub fn new(settings: &config::Upstream, clock: fn() -> SystemTime) -> Result<Self, SetupError> {
        // The process-wide choice of ring; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let headers = request_headers(settings)?;
        let client = |max_idle: usize| {
            Client::builder()
                .default_headers(headers.clone())
                .redirect(redirect::Policy::none())
                .retry(retry::never())
                .no_proxy()
                .http1_only()
                .tcp_nodelay(true)
                .referer(false)
                .connect_timeout(settings.connect_timeout)
                .pool_max_idle_per_host(max_idle)
                .build()
                .map_err(SetupError::Client)
        };
        Ok(Self {
            pooled: client(MAX_IDLE)?,
            fresh: client(0)?,
            base_url: settings.base_url.clone(),
            judge: Judge::new(settings),
            scrub: Scrub::new(&settings.api_key),
            max_body: settings.max_body,
            clock,
            trouble: Trouble::default(),
        })
    }

    async fn ask(&self, key: &TaskKey, permit: Permit) -> Result<Snapshot, Failure> {
        // Both permits are held until the body is read: it counts as in flight until then.
        let (response, _second) = self.send(key, &permit).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(failure) = classify::by_status(status, &headers, (self.clock)()) {
            return Err(failure);
        }
        let body = self.read(response, status).await?;
        let body = self.scrub.body(body);
        let content_type = self.scrub.content_type(headers.get(header::CONTENT_TYPE));
        self.judge.snapshot(status, content_type, body, Instant::now(), (self.clock)())
    }

    /// One request, and one more where the connection turned out closed: most often a pooled one that the
    /// upstream had just given up. A GET may be sent twice (RFC 9110, 9.2.2); the second attempt
    /// has a permit of its own, if one is free at once.
    async fn send(&self, key: &TaskKey, permit: &Permit) -> Result<(Response, Option<Permit>), Failure> {
        let url = self.url(key);
        let broken = match self.pooled.get(url.clone()).send().await {
            Ok(response) => return Ok((response, None)),
            Err(error) => error,
        };
        if !trouble::is_dead_connection(&broken) {
            self.trouble.tell(key, &broken);
            return Err(Failure::Unreachable);
        }
        let Some(second) = permit.another() else {
            self.trouble.tell(key, &broken);
            return Err(Failure::Unreachable);
        };
        match self.fresh.get(url).send().await {
            Ok(response) => Ok((response, Some(second))),
            Err(error) => {
                self.trouble.tell(key, &error);
                Err(Failure::Unreachable)
            }
        }
    }

    fn url(&self, key: &TaskKey) -> Url {
        let mut url = self.base_url.clone();
        let prefix = self.base_url.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}{}", key.path()));
        url
    }

    /// The whole body, as far as `max_body` goes.
    async fn read(&self, mut response: Response, status: StatusCode) -> Result<Bytes, Failure> {
        let too_large = Failure::InvalidResponse { status: status.as_u16() };
        let announced = response.content_length().unwrap_or(0);
        if announced > self.max_body as u64 {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Unreachable)? {
            if body.len() + chunk.len() > self.max_body {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

impl Source for Upstream {
    fn fetch<'a>(&'a self, key: &'a TaskKey, permit: Permit) -> Fetching<'a> {
        Box::pin(self.ask(key, permit))
    }
}

/// What every request carries, the key included.
fn request_headers(settings: &config::Upstream) -> Result<HeaderMap, SetupError> {
    let credentials = format!("{} {}", settings.auth_scheme, settings.api_key.expose());
    let mut credentials = HeaderValue::try_from(credentials).map_err(|_| SetupError::Key)?;
    credentials.set_sensitive(true);
    let mut headers: HeaderMap = settings.headers.iter().cloned().collect();
    headers.insert(header::AUTHORIZATION, credentials);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("taskgate/", env!("CARGO_PKG_VERSION"))));
    Ok(headers)
}
