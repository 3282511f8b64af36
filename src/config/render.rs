//! Owns the printed form of the effective settings: TOML without secrets that [`load`](super::load) reads.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;
use toml::Value;

use super::settings::{AccessMode, AllowList, LogFormat, RouteReading, Settings, Upstream};
use super::units::{duration_text, size_text};

/// The settings as the text of a settings file. The API key, the values of sensitive headers and the
/// password of Redis are `***`.
pub fn render(settings: &Settings) -> String {
    let Settings { server, admin, upstream, budget, cache, content, polling, access, shared, limits, log } =
        settings;
    let mut page = Page(String::new());

    page.section("server");
    page.line("listen", server.listen.to_string());
    page.line("allowed_hosts", allowed(&server.allowed_hosts));
    page.line("allowed_origins", allowed(&server.allowed_origins));
    page.line("trusted_proxies", texts(&server.trusted_proxies));
    page.line("max_connections", number(server.max_connections as u64));
    page.line("header_read_timeout", time(server.header_read_timeout));
    page.line("idle_timeout", time(server.idle_timeout));
    page.line("write_stall_timeout", time(server.write_stall_timeout));
    page.line("shutdown_grace", time(server.shutdown_grace));

    page.section("admin");
    page.line("listen", admin.listen.map_or("off".to_owned(), |listen| listen.to_string()));

    page.section("upstream");
    page.line("base_url", upstream.base_url.as_str().trim_end_matches('/'));
    page.line("routes", routes(upstream));
    page.line("auth_header", spelled(&upstream.auth_header));
    page.line("auth_scheme", upstream.auth_scheme.as_str());
    page.line("headers", headers(settings));
    page.line("status_pointer", upstream.status_pointer.as_str());
    page.line("terminal_statuses", texts(&upstream.terminal_statuses));
    page.line("created_pointer", upstream.created_pointer.as_deref().unwrap_or_default());
    page.line("model_pointer", upstream.model_pointer.as_deref().unwrap_or_default());
    page.line("progress_pointer", upstream.progress_pointer.as_deref().unwrap_or_default());
    page.line("ca_file", path(upstream.ca_file.as_deref()));
    page.line("connect_timeout", time(upstream.connect_timeout));
    page.line("timeout", time(upstream.timeout));
    page.line("max_body", size_text(upstream.max_body as u64));
    page.line("max_in_flight", number(upstream.max_in_flight as u64));
    page.line("api_key_file", path(upstream.api_key_file.as_deref()));
    page.0.push_str("# The API key itself: ***\n");

    page.section("budget");
    page.line("requests_per_minute", number(budget.requests_per_minute.into()));
    page.line("share", budget.share);
    page.line("burst", budget.burst.map_or_else(|| Value::from("auto"), |burst| number(burst.into())));
    page.line("heed_headers", budget.heed_headers);

    page.section("cache");
    page.line("terminal_ttl", time(cache.terminal_ttl));
    page.line("not_found_ttl", time(cache.not_found_ttl));
    page.line("stale_for", time(cache.stale_for));
    page.line("max_bytes", size_text(cache.max_bytes));

    page.section("content");
    page.line("types", texts(&content.types));
    page.line("max_length", size_text(content.max_length));
    page.line("stall_timeout", time(content.stall_timeout));
    page.line("max_downloads", number(content.max_downloads as u64));

    page.section("polling");
    page.line("fresh_for", time(polling.fresh_for));
    page.line("max_interval", time(polling.max_interval));
    page.line("gone_after", time(polling.gone_after));
    page.line("patience", time(polling.patience));
    page.line("max_wait", time(polling.max_wait));
    page.line("heartbeat", time(polling.heartbeat));
    page.line("max_stream", time(polling.max_stream));
    page.line("max_tasks", number(polling.max_tasks as u64));
    page.line("learn", polling.learn);

    page.section("access");
    page.line(
        "mode",
        match access.mode {
            AccessMode::Protected => "protected",
            AccessMode::Open => "open",
        },
    );
    page.line("open_to_network", access.open_to_network);
    page.line("token_file", path(access.token_file.as_deref()));
    page.line("ticket_secret_file", path(access.ticket_secret_file.as_deref()));
    page.line("allow_cancel", access.allow_cancel);

    page.section("shared");
    // That of a file stays there: both together are a fault.
    let redis_url = shared.redis_url.as_ref().filter(|_| shared.redis_url_file.is_none());
    page.line("redis_url", redis_url.map_or(String::new(), ToString::to_string));
    page.line("redis_url_file", path(shared.redis_url_file.as_deref()));
    page.line("namespace", shared.namespace.as_str());
    page.line("replicas_hint", number(shared.replicas_hint.into()));

    page.section("limits");
    page.line("requests_per_second", number(limits.requests_per_second.unwrap_or(0).into()));
    page.line("new_tasks_per_minute", number(limits.new_tasks_per_minute.unwrap_or(0).into()));
    page.line("max_streams", number(limits.max_streams.unwrap_or(0).into()));
    page.line("max_downloads", number(limits.max_downloads.unwrap_or(0).into()));

    page.section("log");
    page.line(
        "format",
        match log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        },
    );
    page.line("filter", log.filter.as_str());
    page.line("access", log.access);
    page.0
}

/// The keys of the settings with different values, such as `server.listen`.
pub fn changes(old: &Settings, new: &Settings) -> Vec<String> {
    let mut changed: Vec<String> = lines(&render(old))
        .zip(lines(&render(new)))
        .filter(|(old, new)| old != new)
        .map(|((key, _), _)| key)
        .collect();
    let headers = "upstream.headers".to_owned();
    // Sensitive values are all rendered as `***`, so the rendered lines may be equal.
    if old.upstream.headers != new.upstream.headers && !changed.contains(&headers) {
        changed.push(headers);
    }
    let redis_url = "shared.redis_url".to_owned();
    // Passwords are rendered as `***` too, and the address in a file not at all.
    if old.shared.redis_url != new.shared.redis_url && !changed.contains(&redis_url) {
        changed.push(redis_url);
    }
    changed
}

/// The key and the rendered value of every setting.
fn lines(page: &str) -> impl Iterator<Item = (String, String)> {
    let mut section = "";
    page.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let (name, value) = line.split_once(" = ")?;
        Some((format!("{section}.{name}"), value.to_owned()))
    })
}

struct Page(String);

impl Page {
    fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.0.push_str(&format!("{gap}[{name}]\n"));
    }

    fn line(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push_str(&format!("{name} = {}\n", value.into()));
    }
}

fn number(number: u64) -> Value {
    // The bounds of all settings are far below `i64::MAX`.
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn time(time: Duration) -> String {
    duration_text(time)
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(items.into_iter().map(|item| Value::String(item.to_string())).collect())
}

fn allowed(list: &AllowList) -> Value {
    match list {
        AllowList::Any => texts(["*"]),
        AllowList::These(items) => texts(items),
    }
}

/// The name of a header as people write it: `X-Api-Key`.
fn spelled(name: &HeaderName) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}

fn routes(upstream: &Upstream) -> Value {
    let shown = upstream.routes.iter().zip(&upstream.readings).map(|(route, reading)| {
        let path = Value::String(route.template().to_owned());
        if *reading == RouteReading::default() {
            return path;
        }
        let RouteReading { status_pointer, terminal_statuses, result } = reading;
        let entries = [
            ("path", Some(path)),
            ("status_pointer", status_pointer.clone().map(Value::String)),
            ("terminal_statuses", terminal_statuses.as_ref().map(texts)),
            ("result", result.then_some(Value::Boolean(true))),
        ];
        let given = entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Table(given.collect())
    });
    let contents = upstream.content_routes.iter().map(|route| {
        let path = Value::String(route.address());
        Value::Table(
            [("path".to_owned(), path), ("content".to_owned(), Value::Boolean(true))].into_iter().collect(),
        )
    });
    Value::Array(shown.chain(contents).collect())
}

fn headers(settings: &Settings) -> Value {
    let shown = settings.upstream.headers.iter().map(|(name, value)| {
        let text = if value.is_sensitive() { "***" } else { value.to_str().unwrap_or("***") };
        (name.to_string(), Value::String(text.to_owned()))
    });
    Value::Table(shown.collect())
}

fn path(path: Option<&Path>) -> String {
    path.map_or(String::new(), |path| path.display().to_string())
}
