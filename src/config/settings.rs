//! Owns the checked settings: what every other part may rely on without asking again.
//!
//! One struct per section of `config.toml`, one field per key, under the same names. Bounds and defaults
//! stand in `sections`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use url::Url;

use super::secret::ApiKey;
use crate::core::task::Routes;
use crate::core::ticket::Keyring;
use crate::core::token::Tokens;

/// Everything that can be set, checked.
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
    /// Section `[polling]`.
    pub polling: Polling,
    /// Section `[access]`.
    pub access: Access,
    /// Section `[limits]`.
    pub limits: Limits,
    /// Section `[log]`.
    pub log: Log,
}

/// `[server]`: the main listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// An IP address and port; port 0 is any free one.
    pub listen: SocketAddr,
    /// Names accepted in `Host`, lower case, without port; IPv6 addresses in brackets.
    pub allowed_hosts: AllowList,
    /// Browser origins, exact and lower case (`https://app.example.com`).
    pub allowed_origins: AllowList,
    /// Networks whose `X-Forwarded-For` is believed, right to left.
    pub trusted_proxies: Vec<IpNet>,
    /// Open connections at once; more are not accepted.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request; for a new connection, from its beginning.
    pub header_read_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer before it is cut off.
    pub write_stall_timeout: Duration,
    /// How long a shutdown waits for what is under way. May be zero.
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

/// `[upstream]`: whom the gateway asks, and how it reads the answer.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// http or https; no query, fragment or credentials; a path prefix is kept without its last `/`.
    pub base_url: Url,
    /// The status paths served, at least one.
    pub routes: Routes,
    /// What stands before the key in `Authorization`: one token of RFC 9110.
    pub auth_scheme: String,
    /// Fixed extra request headers; none of those that the gateway sets. Telling ones are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// RFC 6901.
    pub status_pointer: String,
    /// Lower case.
    pub terminal_statuses: Vec<String>,
    /// For the connection alone; at most `timeout`.
    pub connect_timeout: Duration,
    /// One attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// Bytes.
    pub max_body: usize,
    /// Requests under way at once.
    pub max_in_flight: usize,
    /// The key, as it is sent.
    pub api_key: ApiKey,
    /// Where the key was read from, to read it again there. A relative path is meant from the working directory.
    pub api_key_file: Option<PathBuf>,
}

/// `[budget]`: what the key is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// What the key is allowed; at least 1.
    pub requests_per_minute: u32,
    /// 0 < share ≤ 1.
    pub share: f64,
    /// Requests that may go out at once after a pause; at least 1.
    pub burst: u32,
}

/// `[cache]`: how long states are kept.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    /// How long a finished task is kept.
    pub terminal_ttl: Duration,
    /// How long a task that upstream does not know is kept as such. Not zero.
    pub not_found_ttl: Duration,
    /// How long a state past its time may stand in while upstream cannot answer. May be zero.
    pub stale_for: Duration,
    /// Bytes.
    pub max_bytes: u64,
}

/// `[polling]`: freshness and patience.
#[derive(Debug, Clone, Copy)]
pub struct Polling {
    /// The shortest time between two requests for one task.
    pub fresh_for: Duration,
    /// The longest such time; at least `fresh_for`.
    pub max_interval: Duration,
    /// How long a plain GET waits for its refresh to start. May be zero.
    pub patience: Duration,
    /// The longest a long-poll waits. May be zero.
    pub max_wait: Duration,
    /// The time between two comments on a quiet stream.
    pub heartbeat: Duration,
    /// The longest a stream lasts before the client is asked to reconnect.
    pub max_stream: Duration,
    /// Tasks with interest at once.
    pub max_tasks: usize,
}

/// `[access]`: who may read.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whether a client must prove who it is.
    pub mode: AccessMode,
    /// Open mode may listen beyond loopback.
    pub open_to_network: bool,
    /// What the token file holds.
    pub tokens: Tokens,
    /// Lines of `NAME SHA256HEX`.
    pub token_file: Option<PathBuf>,
    /// What the secret file holds.
    pub ticket_secrets: Keyring,
    /// One or two lines: the first signs, all verify.
    pub ticket_secret_file: Option<PathBuf>,
    /// `DELETE` of a task is forwarded.
    pub allow_cancel: bool,
}

/// `access.mode`: whether a client must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessMode {
    /// A token or ticket is needed.
    Protected,
    /// Anyone who reaches the port may read any task.
    Open,
}

/// `[limits]`: per client; `None` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second.
    pub requests_per_second: Option<u32>,
    /// Ids a minute that the gateway does not know yet.
    pub new_tasks_per_minute: Option<u32>,
    /// Streams at once.
    pub max_streams: Option<u32>,
}

/// `[log]`: what is written to the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Directives of tracing's `EnvFilter`, already parsed once.
    pub filter: String,
    /// One line a request.
    pub access: bool,
}

/// `log.format`: how a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
