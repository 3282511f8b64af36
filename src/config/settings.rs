//! Owns the checked settings, on which the other parts rely without checks of their own.
//!
//! One struct for each section of `config.toml`, one field for each setting, under the same names. Bounds and
//! defaults are in `sections`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::redis_url::RedisUrl;
use super::secret::ApiKey;
use crate::core::task::Routes;
use crate::core::ticket::Keyring;
use crate::core::token::Tokens;

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Section `[server]`.
    pub server: Server,
    /// Section `[admin]`.
    pub admin: Admin,
    /// Section `[upstream]`.
    pub upstream: Upstream,
    /// Section `[budget]`.
    pub budget: Budget,
    /// Section `[cache]`.
    pub cache: Cache,
    /// Section `[content]`.
    pub content: Content,
    /// Section `[polling]`.
    pub polling: Polling,
    /// Section `[access]`.
    pub access: Access,
    /// Section `[shared]`.
    pub shared: Shared,
    /// Section `[limits]`.
    pub limits: Limits,
    /// Section `[log]`.
    pub log: Log,
}

/// `[server]`: the main listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// An IP address and port; with port 0 the system chooses a free one.
    pub listen: SocketAddr,
    /// Names accepted in `Host`: lower case, without port; IPv6 addresses in brackets.
    pub allowed_hosts: AllowList,
    /// Browser origins whose pages may read, exact and in lower case (`https://app.example.com`).
    pub allowed_origins: AllowList,
    /// Networks of proxies whose `X-Forwarded-For` is believed; it is read from right to left.
    pub trusted_proxies: Vec<IpNet>,
    /// Open connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// The longest time for the head of a request; on a new connection it starts with the connection.
    pub header_read_timeout: Duration,
    /// The longest time that a connection waits for its next request.
    pub idle_timeout: Duration,
    /// The longest time in which a client reads no byte of its answer, before its connection is closed.
    pub write_stall_timeout: Duration,
    /// The longest time that a shutdown waits for requests under way. May be zero.
    pub shutdown_grace: Duration,
}

/// A list of names, or `["*"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowList {
    /// `["*"]`.
    Any,
    /// Exactly these; may be none.
    These(Vec<String>),
}

/// `[admin]`: the operators' listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `None` is `"off"`.
    pub listen: Option<SocketAddr>,
}

/// `[upstream]`: requests to the upstream and the reading of its answers.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// http or https, without query, fragment or credentials. A path prefix has no `/` at its end.
    pub base_url: Url,
    /// The status paths served, at least one.
    pub routes: Routes,
    /// How the answers of each route are read, in the order of the routes.
    pub readings: Vec<RouteReading>,
    /// The paths of results that are passed on as bytes: none unless they are configured.
    pub content_routes: Routes,
    /// The header that carries the key.
    pub auth_header: HeaderName,
    /// The scheme before the key in `auth_header`: one token of RFC 9110, 5.6.2; empty: the key stands alone.
    pub auth_scheme: String,
    /// Additional request headers, none of which the gateway sets itself. Values that may be secrets are
    /// marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificates of private CAs, beside those of the system.
    pub ca: Vec<CertificateDer<'static>>,
    /// The file of these certificates.
    pub ca_file: Option<PathBuf>,
    /// The place of the status in an answer: a JSON pointer (RFC 6901). For routes that name none.
    pub status_pointer: String,
    /// The statuses of ended tasks, in lower case. For routes that name none.
    pub terminal_statuses: Vec<String>,
    /// The place of a task's creation in an answer. These three only help to foretell the end; `None`: there is none.
    pub created_pointer: Option<String>,
    /// The place of the model's name.
    pub model_pointer: Option<String>,
    /// The place of the progress in percent.
    pub progress_pointer: Option<String>,
    /// For connecting alone; at most `timeout`.
    pub connect_timeout: Duration,
    /// For one attempt, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// The largest body of an answer, in bytes.
    pub max_body: usize,
    /// Requests to the upstream at once.
    pub max_in_flight: usize,
    /// The API key, without its scheme.
    pub api_key: ApiKey,
    /// The key file, which a reload reads again. A relative path starts at the working directory.
    pub api_key_file: Option<PathBuf>,
}

/// How the answers of one route are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteReading {
    /// The route's own `status_pointer`.
    pub status_pointer: Option<String>,
    /// The route's own `terminal_statuses`.
    pub terminal_statuses: Option<Vec<String>>,
    /// The route shows a task's result, without a status: a 2xx other than 202 has ended.
    pub result: bool,
}

/// `[content]`: the downloads of results, by the routes with `content = true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The content types that are passed on: `image/png`, or `image/*` for all of a kind; in lower case.
    pub types: Vec<String>,
    /// The longest content, in bytes.
    pub max_length: u64,
    /// The longest time in which the upstream sends no byte of a content.
    pub stall_timeout: Duration,
    /// Downloads at once.
    pub max_downloads: usize,
}

/// `[budget]`: the rate limit of the key.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// The rate limit of the key at the upstream; at least 1.
    pub requests_per_minute: u32,
    /// The part of `requests_per_minute` that this gateway uses: 0 < share ≤ 1.
    pub share: f64,
    /// Requests that may be sent at once after a pause, at least 1. `None`: as [`Budget::burst`] computes.
    pub burst: Option<u32>,
    /// Whether quotas that the upstream tells in its answers slow the gateway down.
    pub heed_headers: bool,
}

impl Budget {
    /// Requests that may be sent at once after a pause. Unless it is set, it is a tenth of what the gateway may send in a
    /// minute, and at most what others may: so that in no minute more is sent than the key allows.
    pub fn burst(&self) -> u32 {
        let limit = f64::from(self.requests_per_minute);
        let tenth = self.share * limit / 10.0;
        // For a limit of 10 and a share of 0.9, 1 - share is a little less than a tenth.
        let rest = (1.0 - self.share) * limit + 1e-9;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and the limit"
        )]
        let auto = tenth.min(rest).max(1.0) as u32;
        self.burst.unwrap_or(auto)
    }
}

/// `[cache]`: lifetime and size of stored states.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// The lifetime of the state of an ended task.
    pub terminal_ttl: Duration,
    /// The lifetime of the answer that the upstream does not know a task. Not zero.
    pub not_found_ttl: Duration,
    /// The time after its expiry in which a state may stand in for a newer one. May be zero.
    pub stale_for: Duration,
    /// The largest size of all stored states, in bytes.
    pub max_bytes: u64,
}

/// `[polling]`: intervals of refreshes, and the waits of clients.
#[derive(Debug, Clone, Copy)]
pub struct Polling {
    /// The shortest time between two upstream requests for one task.
    pub fresh_for: Duration,
    /// The longest planned time between them; at least `fresh_for`.
    pub max_interval: Duration,
    /// The longest time that a plain GET waits for its refresh to start. May be zero.
    pub patience: Duration,
    /// The time for which a task must be missing before a stream says `gone`.
    pub gone_after: Duration,
    /// The longest wait of a long-poll. May be zero.
    pub max_wait: Duration,
    /// The time between two comments on a stream without events.
    pub heartbeat: Duration,
    /// The longest life of a stream, after which the client is asked to reconnect.
    pub max_stream: Duration,
    /// Tasks with Interest at once.
    pub max_tasks: usize,
    /// Whether the pacing learns how long tasks take. Otherwise the intervals depend on their age alone.
    pub learn: bool,
}

/// `[access]`: the clients that may read tasks.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whether a client needs credentials.
    pub mode: AccessMode,
    /// Whether open mode may listen beyond loopback.
    pub open_to_network: bool,
    /// The hashes in the token file.
    pub tokens: Tokens,
    /// The token file: lines of `NAME SHA256HEX`.
    pub token_file: Option<PathBuf>,
    /// The secrets in the secret file.
    pub ticket_secrets: Keyring,
    /// The secret file, of one or two lines: the first signs tickets, both verify them.
    pub ticket_secret_file: Option<PathBuf>,
    /// Whether `DELETE` of a task is forwarded to the upstream.
    pub allow_cancel: bool,
}

/// `access.mode`: whether a client needs credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessMode {
    /// A client needs a token or a ticket.
    Protected,
    /// Any client that reaches the port may read any task.
    Open,
}

/// `[shared]`: what replicas share on Redis or Valkey.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The address of Redis; `None`: this process is alone.
    pub redis_url: Option<RedisUrl>,
    /// The file that holds the address.
    pub redis_url_file: Option<PathBuf>,
    /// The name that replicas have in common.
    pub namespace: String,
    /// The replicas among which the budget is divided while Redis does not answer; at least 1.
    pub replicas_hint: u32,
}

/// `[limits]`: limits for each client; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second.
    pub requests_per_second: Option<u32>,
    /// Ids a minute of tasks that the gateway does not know yet.
    pub new_tasks_per_minute: Option<u32>,
    /// Streams at once.
    pub max_streams: Option<u32>,
    /// Downloads at once.
    pub max_downloads: Option<u32>,
}

/// `[log]`: form and content of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// Directives of tracing's `EnvFilter`; they parse.
    pub filter: String,
    /// Whether each request writes a line.
    pub access: bool,
}

/// `log.format`: the form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}
