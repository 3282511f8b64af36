//! Owns the checked settings: what every other part may rely on without asking again.
//!
//! One struct per section of `config.toml`, one field per key, under the same names.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use url::Url;

use super::secret::ApiKey;
use crate::core::task::Routes;

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    pub admin: Admin,
    pub upstream: Upstream,
    pub budget: Budget,
    pub cache: Cache,
    pub polling: Polling,
    pub access: Access,
    pub limits: Limits,
    pub log: Log,
}

/// `[server]`: the main listener.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// Names accepted in `Host`, lower case, without port.
    pub allowed_hosts: AllowList,
    /// Browser origins, exact and lower case (`https://app.example.com`).
    pub allowed_origins: AllowList,
    pub trusted_proxies: Vec<IpNet>,
    pub max_connections: usize,
    pub header_read_timeout: Duration,
    pub write_stall_timeout: Duration,
    pub shutdown_grace: Duration,
}

/// A list of names, or `["*"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowList {
    Any,
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
    pub routes: Routes,
    pub auth_scheme: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// RFC 6901.
    pub status_pointer: String,
    /// Lower case.
    pub terminal_statuses: Vec<String>,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    /// Bytes.
    pub max_body: usize,
    pub max_in_flight: usize,
    pub api_key: ApiKey,
}

/// `[budget]`: what the key is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub requests_per_minute: u32,
    /// 0 < share ≤ 1.
    pub share: f64,
    pub burst: u32,
}

/// `[cache]`: how long states are kept.
#[derive(Debug, Clone, Copy)]
pub struct Cache {
    pub terminal_ttl: Duration,
    pub not_found_ttl: Duration,
    pub stale_for: Duration,
    /// Bytes.
    pub max_bytes: u64,
}

/// `[polling]`: freshness and patience.
#[derive(Debug, Clone, Copy)]
pub struct Polling {
    pub fresh_for: Duration,
    pub max_interval: Duration,
    pub patience: Duration,
    pub max_wait: Duration,
    pub heartbeat: Duration,
    pub max_stream: Duration,
    pub max_tasks: usize,
}

/// `[access]`: who may read.
#[derive(Debug, Clone)]
pub struct Access {
    pub mode: AccessMode,
    pub open_to_network: bool,
    pub token_file: Option<std::path::PathBuf>,
    pub ticket_secret_file: Option<std::path::PathBuf>,
    pub allow_cancel: bool,
}

/// `access.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessMode {
    /// A token or ticket is needed.
    Protected,
    /// Anyone who reaches the port may read any task.
    Open,
}

/// `[limits]`: per client; `None` is off.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub requests_per_second: Option<u32>,
    pub new_tasks_per_minute: Option<u32>,
    pub max_streams: Option<u32>,
}

/// `[log]`.
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    /// Directives of tracing's `EnvFilter`, already parsed once.
    pub filter: String,
    pub access: bool,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
