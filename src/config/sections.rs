//! Owns the list of all settings, section by section: the key, the default and the check of each.
//!
//! A section takes all its settings before it is built, so that one fault does not hide the next.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::credentials::{self, CA_FILE, TICKET_SECRET_FILE, TOKEN_FILE};
use super::network::{address, address_or_off, hosts, networks, origins};
use super::reader::Reader;
use super::redis_url;
use super::routes::{Routing, optional_pointer, pointer, routes, statuses};
use super::secret::ApiKey;
use super::settings::{
    Access, AccessMode, Admin, Budget, Cache, Content, Limits, Log, LogFormat, Polling, Server, Shared,
    Upstream,
};
use super::spelling::nearest;
use super::target::{auth_header, auth_scheme, base_url, headers};
use super::units::{
    DAY, GIB, HOUR, KIB, MIB, MINUTE, SHORTEST, choice, count, duration, flag, limit, list, share, size, some,
};
use super::value::{Parsed, Value, wrong};
use crate::core::task::Routes;
use crate::core::ticket::Keyring;

const NOTHING: Duration = Duration::ZERO;

pub(super) fn server(reader: &mut Reader) -> Option<Server> {
    let listen = reader.take("server.listen", "127.0.0.1:8787", address);
    let allowed_hosts = reader.take("server.allowed_hosts", "", hosts);
    let allowed_origins = reader.take("server.allowed_origins", "", origins);
    let trusted_proxies = reader.take("server.trusted_proxies", "", networks);
    let max_connections = reader.take("server.max_connections", "10000", count(1..=1_000_000));
    let header_read_timeout =
        reader.take("server.header_read_timeout", "10s", duration(SHORTEST..=10 * MINUTE));
    let idle_timeout = reader.take("server.idle_timeout", "75s", duration(SHORTEST..=HOUR));
    let write_stall_timeout = reader.take("server.write_stall_timeout", "30s", duration(SHORTEST..=HOUR));
    let shutdown_grace = reader.take("server.shutdown_grace", "8s", duration(NOTHING..=HOUR));
    Some(Server {
        listen: listen?,
        allowed_hosts: allowed_hosts?,
        allowed_origins: allowed_origins?,
        trusted_proxies: trusted_proxies?,
        max_connections: max_connections?,
        header_read_timeout: header_read_timeout?,
        idle_timeout: idle_timeout?,
        write_stall_timeout: write_stall_timeout?,
        shutdown_grace: shutdown_grace?,
    })
}

/// The addresses of both listeners, without the other settings.
pub(super) fn listeners(reader: &mut Reader) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let main = reader.take("server.listen", "127.0.0.1:8787", address);
    let admin = admin(reader);
    Some((main?, admin?.listen))
}

pub(super) fn admin(reader: &mut Reader) -> Option<Admin> {
    let listen = reader.take("admin.listen", "127.0.0.1:9797", address_or_off);
    Some(Admin { listen: listen? })
}

/// `find_key` gets the value of `upstream.api_key_file`, and finds the API key.
pub(super) fn upstream(
    reader: &mut Reader,
    find_key: impl FnOnce(&mut Reader, Option<PathBuf>) -> Option<(ApiKey, Option<PathBuf>)>,
) -> Option<Upstream> {
    let base_url = reader.take("upstream.base_url", "https://api.lemondata.cc", base_url);
    let routes = reader.take(
        "upstream.routes",
        "/v1/tasks/{id},/v1/videos/generations/{id},/v1/images/generations/{id},/v1/images/{id},\
         /v1/music/generations/{id},/v1/3d/generations/{id}",
        routes,
    );
    let auth_header = reader.take("upstream.auth_header", "Authorization", auth_header);
    let auth_scheme = reader.take("upstream.auth_scheme", "Bearer", auth_scheme);
    let headers = reader.take("upstream.headers", "", headers);
    let status_pointer = reader.take("upstream.status_pointer", "/status", pointer);
    let terminal_statuses = reader.take(
        "upstream.terminal_statuses",
        "completed,succeeded,failed,cancelled,canceled,expired",
        statuses,
    );
    let created_pointer = reader.take("upstream.created_pointer", "/created", optional_pointer);
    let model_pointer = reader.take("upstream.model_pointer", "/model", optional_pointer);
    let progress_pointer = reader.take("upstream.progress_pointer", "/progress", optional_pointer);
    let ca_file = reader.take(CA_FILE, "", path);
    let ca = ca_file.as_ref().and_then(|file| credentials::certificates(reader, file.as_deref()));
    let connect_timeout = reader.take("upstream.connect_timeout", "3s", duration(SHORTEST..=10 * MINUTE));
    let timeout = reader.take("upstream.timeout", "10s", duration(SHORTEST..=10 * MINUTE));
    let max_body = reader.take("upstream.max_body", "1MiB", size(KIB..=64 * MIB));
    let max_in_flight = reader.take("upstream.max_in_flight", "64", count(1..=10_000));
    let key_file = reader.take("upstream.api_key_file", "", path);
    let key = key_file.and_then(|setting| find_key(reader, setting));
    let (api_key, api_key_file) = key?;
    let Routing { status, content } = routes?;
    let (routes, readings) = status.into_iter().unzip();
    Some(Upstream {
        base_url: base_url?,
        routes: Routes::new(routes),
        readings,
        content_routes: Routes::new(content),
        auth_header: auth_header?,
        auth_scheme: auth_scheme?,
        headers: headers?,
        status_pointer: status_pointer?,
        created_pointer: created_pointer?,
        model_pointer: model_pointer?,
        progress_pointer: progress_pointer?,
        ca: ca?,
        ca_file: ca_file?,
        terminal_statuses: terminal_statuses?,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        max_body: max_body?,
        max_in_flight: max_in_flight?,
        api_key,
        api_key_file,
    })
}

pub(super) fn budget(reader: &mut Reader) -> Option<Budget> {
    let requests_per_minute = reader.take("budget.requests_per_minute", "1000", count(1..=10_000_000));
    let share = reader.take("budget.share", "0.8", share);
    let burst = reader.take("budget.burst", "auto", burst);
    let heed_headers = reader.take("budget.heed_headers", "true", flag);
    Some(Budget {
        requests_per_minute: requests_per_minute?,
        share: share?,
        burst: burst?,
        heed_headers: heed_headers?,
    })
}

/// A whole number, or `"auto"`.
fn burst(value: &Value) -> Parsed<Option<u32>> {
    match value {
        Value::Text(text) | Value::Toml(toml::Value::String(text)) if text.trim() == "auto" => Ok(None),
        _ => count(1..=100_000)(value)
            .map(Some)
            .map_err(|faults| faults.into_iter().map(|fault| format!("{fault}, or \"auto\"")).collect()),
    }
}

pub(super) fn cache(reader: &mut Reader) -> Option<Cache> {
    let terminal_ttl = reader.take("cache.terminal_ttl", "1h", duration(SHORTEST..=30 * DAY));
    // Not zero: a watched task that the upstream does not know would be fetched without a pause.
    let not_found_ttl = reader.take("cache.not_found_ttl", "2s", duration(SHORTEST..=HOUR));
    let stale_for = reader.take("cache.stale_for", "10m", duration(NOTHING..=30 * DAY));
    let max_bytes = reader.take("cache.max_bytes", "192MiB", size(KIB..=1024 * GIB));
    Some(Cache {
        terminal_ttl: terminal_ttl?,
        not_found_ttl: not_found_ttl?,
        stale_for: stale_for?,
        max_bytes: max_bytes?,
    })
}

pub(super) fn content(reader: &mut Reader) -> Option<Content> {
    const USUAL: &str = "video/*,image/*,audio/*,model/*,application/octet-stream";
    let types = reader.take("content.types", USUAL, some("video/*", list("video/*", content_type)));
    let max_length = reader.take("content.max_length", "4GiB", size(KIB..=1024 * GIB));
    let stall_timeout = reader.take("content.stall_timeout", "30s", duration(SHORTEST..=HOUR));
    let max_downloads = reader.take("content.max_downloads", "64", count(1..=10_000));
    Some(Content {
        types: types?,
        max_length: max_length?,
        stall_timeout: stall_timeout?,
        max_downloads: max_downloads?,
    })
}

/// A content type without parameters, or all of a kind, in lower case (RFC 9110, 8.3.1 and 12.5.1).
fn content_type(text: &str) -> Result<String, String> {
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    match text.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && (subtype == "*" || is_token(subtype)) => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(format!("{text:?} is not a content type; write one such as \"video/mp4\" or \"video/*\"")),
    }
}

pub(super) fn polling(reader: &mut Reader) -> Option<Polling> {
    let fresh_for = reader.take("polling.fresh_for", "2s", duration(SHORTEST..=HOUR));
    let max_interval = reader.take("polling.max_interval", "5s", duration(SHORTEST..=HOUR));
    let gone_after = reader.take("polling.gone_after", "15s", duration(NOTHING..=10 * MINUTE));
    let patience = reader.take("polling.patience", "5s", duration(NOTHING..=10 * MINUTE));
    let max_wait = reader.take("polling.max_wait", "50s", duration(NOTHING..=HOUR));
    let heartbeat = reader.take("polling.heartbeat", "15s", duration(SHORTEST..=10 * MINUTE));
    let max_stream = reader.take("polling.max_stream", "1h", duration(SHORTEST..=DAY));
    let max_tasks = reader.take("polling.max_tasks", "20000", count(1..=10_000_000));
    let learn = reader.take("polling.learn", "true", flag);
    Some(Polling {
        fresh_for: fresh_for?,
        max_interval: max_interval?,
        patience: patience?,
        gone_after: gone_after?,
        max_wait: max_wait?,
        heartbeat: heartbeat?,
        max_stream: max_stream?,
        max_tasks: max_tasks?,
        learn: learn?,
    })
}

pub(super) fn access(reader: &mut Reader) -> Option<Access> {
    let mode = reader.take("access.mode", "protected", access_mode);
    let open_to_network = reader.take("access.open_to_network", "false", flag);
    let token_file = reader.take(TOKEN_FILE, "", path);
    let ticket_secret_file = reader.take(TICKET_SECRET_FILE, "", path);
    let allow_cancel = reader.take("access.allow_cancel", "false", flag);
    let tokens = credentials::tokens(reader, token_file.as_ref()?.as_deref());
    let ticket_secrets = credentials::ticket_secrets(reader, ticket_secret_file.as_ref()?.as_deref());
    Some(Access {
        mode: mode?,
        open_to_network: open_to_network?,
        tokens: tokens?,
        token_file: token_file?,
        ticket_secrets: ticket_secrets?,
        ticket_secret_file: ticket_secret_file?,
        allow_cancel: allow_cancel?,
    })
}

/// The ticket secrets, without the other settings.
pub(super) fn ticket_secrets(reader: &mut Reader) -> Option<Keyring> {
    let file = reader.take(TICKET_SECRET_FILE, "", path)?;
    credentials::ticket_secrets(reader, file.as_deref())
}

pub(super) fn access_mode(value: &Value) -> Parsed<AccessMode> {
    choice(&[("protected", AccessMode::Protected), ("open", AccessMode::Open)])(value)
}

pub(super) fn shared(reader: &mut Reader) -> Option<Shared> {
    let given = reader.take(redis_url::URL, "", redis_url::redis_url);
    let redis_url_file = reader.take(redis_url::FILE, "", path);
    let namespace = reader.take("shared.namespace", "default", namespace);
    let replicas_hint = reader.take("shared.replicas_hint", "2", count(1..=1000));
    let redis_url = match (given?, redis_url_file.as_ref()?) {
        (Some(_), Some(_)) => {
            reader
                .fault(redis_url::FILE, "the address stands in shared.redis_url too; remove one of the two");
            return None;
        }
        (None, Some(file)) => Some(redis_url::from_file(reader, file)?),
        (given, None) => given,
    };
    Some(Shared {
        redis_url,
        redis_url_file: redis_url_file?,
        namespace: namespace?,
        replicas_hint: replicas_hint?,
    })
}

/// The name that replicas have in common, a part of the names of their keys in Redis.
fn namespace(value: &Value) -> Parsed<String> {
    const CURE: &str = "write up to 64 of A-Z a-z 0-9 - _ .";
    let text = value.text("default")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=64).contains(&text.len()) || !text.bytes().all(is_plain) {
        return wrong(format!("{value} is no name of a namespace; {CURE}"));
    }
    Ok(text.to_owned())
}

pub(super) fn limits(reader: &mut Reader) -> Option<Limits> {
    let requests_per_second = reader.take("limits.requests_per_second", "0", limit(1_000_000));
    let new_tasks_per_minute = reader.take("limits.new_tasks_per_minute", "0", limit(1_000_000));
    let max_streams = reader.take("limits.max_streams", "1000", limit(1_000_000));
    let max_downloads = reader.take("limits.max_downloads", "16", limit(10_000));
    Some(Limits {
        requests_per_second: requests_per_second?,
        new_tasks_per_minute: new_tasks_per_minute?,
        max_streams: max_streams?,
        max_downloads: max_downloads?,
    })
}

pub(super) fn log(reader: &mut Reader) -> Option<Log> {
    let format =
        reader.take("log.format", "text", choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]));
    let filter = reader.take("log.filter", "info", filter);
    let access = reader.take("log.access", "false", flag);
    Some(Log { format: format?, filter: filter?, access: access? })
}

/// A path; the empty text is none.
pub(super) fn path(value: &Value) -> Parsed<Option<PathBuf>> {
    // The value may be a secret put in the wrong place, so the fault does not show it.
    let Ok(text) = value.text("") else { return wrong("is not the name of a file; write it in quotes") };
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// Directives of [`EnvFilter`].
fn filter(value: &Value) -> Parsed<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const CURE: &str =
        "write a level (off, error, warn, info, debug, trace), or one such as \"info,taskgate=debug\"";
    let text = value.text("info")?;
    if text.trim().is_empty() || EnvFilter::try_new(text).is_err() {
        return wrong(format!("{value} is not a filter; {CURE}"));
    }
    // `EnvFilter` takes a misspelt level for a target at level trace: "inof" would silence all others.
    for word in text.split(',').map(str::trim).filter(|_| !text.contains('[')) {
        if !word.contains('=') && !LEVELS.contains(&word.to_lowercase().as_str()) {
            let cure =
                nearest(word, LEVELS).map_or(CURE.to_owned(), |near| format!("did you mean \"{near}\"?"));
            return wrong(format!("{word:?} is not a level; {cure}"));
        }
    }
    Ok(text.to_owned())
}
