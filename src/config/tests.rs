//! Owns the tests of the settings as a whole; messages, secrets and credentials have files of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::core::budget::{Bucket, Rate};

mod credentials;
mod messages;
mod secrets;

const CONFIG: &str = include_str!("../../config.toml");
const KEY: &str = "sk-test-0123456789";

/// Sources with this file and these variables, and with an API key and open mode unless `env` says otherwise.
fn sources(file: &str, env: &[(&str, &str)]) -> Sources {
    let base = [("LEMONDATA_API_KEY", KEY), ("TASKGATE_ACCESS__MODE", "open")];
    let mut all: BTreeMap<&str, &str> = base.into_iter().collect();
    all.extend(env.iter().copied());
    Sources {
        file: Some((PathBuf::from("config.toml"), file.to_owned())),
        env: all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}

fn loaded(file: &str, env: &[(&str, &str)]) -> Settings {
    load(&sources(file, env)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(file: &str, env: &[(&str, &str)]) -> String {
    load(&sources(file, env)).err().map_or(String::new(), |faults| faults.to_string())
}

fn table(text: &str) -> toml::Table {
    text.parse().unwrap()
}

/// All keys, as listed in the faults of unknown settings.
fn all_keys() -> Vec<String> {
    let sections = [
        "server", "admin", "upstream", "budget", "cache", "content", "polling", "access", "shared", "limits",
        "log",
    ];
    let unknown: String = sections.iter().map(|section| format!("[{section}]\nzzzzzzzz = 1\n")).collect();
    let text = faults(&unknown, &[]);
    let lists = text.lines().map(|line| line.split_once("; [").unwrap().1.split_once("] has ").unwrap());
    lists
        .flat_map(|(section, names)| names.split(", ").map(move |name| format!("{section}.{name}")))
        .collect()
}

#[test]
fn the_file_of_the_repository_holds_every_setting_with_its_default() {
    let alone = Sources { file: None, ..sources("", &[]) };
    let defaults = table(&render(&load(&alone).unwrap()));
    let file = table(CONFIG);
    let keys = all_keys();
    assert_eq!(keys.len(), 63);
    for key in &keys {
        let (section, name) = key.split_once('.').unwrap();
        assert_eq!(file[section].get(name), defaults[section].get(name), "{key}");
    }
    let written: usize = file.values().map(|section| section.as_table().unwrap().len()).sum();
    assert_eq!(written, keys.len());
    assert_eq!(file["access"]["mode"].as_str(), Some("open"));
    let key = vec![("LEMONDATA_API_KEY".to_owned(), KEY.to_owned())];
    load(&Sources { file: Some(("config.toml".into(), CONFIG.to_owned())), env: key }).unwrap();
}

#[test]
fn the_defaults_are_those_promised() {
    let settings = loaded("", &[]);
    let Settings { server, admin, upstream, budget, cache, content, polling, access, shared, limits, log } =
        settings;
    assert_eq!(server.listen.to_string(), "127.0.0.1:8787");
    assert_eq!(server.allowed_hosts, AllowList::These(vec![]));
    assert_eq!(server.allowed_origins, AllowList::These(vec![]));
    assert!(server.trusted_proxies.is_empty());
    assert_eq!(server.max_connections, 10_000);
    assert_eq!(server.header_read_timeout, Duration::from_secs(10));
    assert_eq!(server.idle_timeout, Duration::from_secs(75));
    assert_eq!(server.write_stall_timeout, Duration::from_secs(30));
    assert_eq!(server.shutdown_grace, Duration::from_secs(8));
    assert_eq!(admin.listen.unwrap().to_string(), "127.0.0.1:9797");
    assert_eq!(upstream.base_url.as_str(), "https://api.lemondata.cc/");
    assert_eq!(upstream.routes.iter().count(), 6);
    assert_eq!(upstream.routes.iter().last().unwrap().template(), "/v1/3d/generations/{id}");
    assert_eq!((upstream.auth_scheme.as_str(), upstream.status_pointer.as_str()), ("Bearer", "/status"));
    assert!(upstream.headers.is_empty());
    assert_eq!(
        upstream.terminal_statuses,
        ["completed", "succeeded", "failed", "cancelled", "canceled", "expired"]
    );
    assert_eq!(
        (upstream.connect_timeout, upstream.timeout),
        (Duration::from_secs(3), Duration::from_secs(10))
    );
    assert_eq!((upstream.max_body, upstream.max_in_flight), (1 << 20, 64));
    assert_eq!((upstream.api_key.expose(), upstream.api_key_file), (KEY, None));
    assert_eq!((budget.requests_per_minute, budget.share, budget.burst()), (1000, 0.8, 80));
    assert!(budget.burst.is_none() && budget.heed_headers);
    assert_eq!(
        (cache.terminal_ttl, cache.not_found_ttl, cache.stale_for, cache.max_bytes),
        (Duration::from_secs(3600), Duration::from_secs(2), Duration::from_secs(600), 192 << 20)
    );
    assert_eq!(
        [polling.fresh_for, polling.max_interval, polling.patience, polling.max_wait, polling.heartbeat],
        [2, 5, 5, 50, 15].map(Duration::from_secs)
    );
    assert_eq!((polling.max_stream, polling.max_tasks), (Duration::from_secs(3600), 20_000));
    assert!(polling.learn);
    let hints = [&upstream.created_pointer, &upstream.model_pointer, &upstream.progress_pointer];
    assert_eq!(hints.map(Option::as_deref), [Some("/created"), Some("/model"), Some("/progress")]);
    assert!(!access.open_to_network && !access.allow_cancel);
    assert_eq!((access.token_file, access.ticket_secret_file), (None, None));
    assert_eq!((shared.redis_url, shared.redis_url_file), (None, None));
    assert_eq!((shared.namespace.as_str(), shared.replicas_hint), ("default", 2));
    assert_eq!((limits.requests_per_second, limits.new_tasks_per_minute), (None, None));
    assert_eq!((limits.max_streams, limits.max_downloads), (Some(1000), Some(16)));
    assert_eq!(content.types, ["video/*", "image/*", "audio/*", "model/*", "application/octet-stream"]);
    assert_eq!(
        (content.max_length, content.stall_timeout, content.max_downloads),
        (4 << 30, Duration::from_secs(30), 64)
    );
    assert_eq!(upstream.content_routes.iter().count(), 0);
    assert_eq!((log.format, log.filter.as_str(), log.access), (LogFormat::Text, "info", false));
}

/// In every span of a minute, at most what the key allows: for the bucket of `core/budget`, filled, and used as fast as it
/// goes.
#[test]
fn an_automatic_burst_keeps_every_minute_within_the_limit() {
    for limit in [10, 11, 15, 20, 33, 60, 100, 250, 600, 1000, 3000, 10_000] {
        for share in [0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.8, 0.9, 0.95, 0.99, 1.0] {
            let (limit_text, share_text) = (f64::from(limit).to_string(), format!("{share:?}"));
            let env = [
                ("TASKGATE_BUDGET__REQUESTS_PER_MINUTE", limit_text.as_str()),
                ("TASKGATE_BUDGET__SHARE", share_text.as_str()),
            ];
            let budget = loaded("", &env).budget;
            let start = tokio::time::Instant::now();
            let rate = Rate { per_minute: f64::from(limit) * share, burst: budget.burst() };
            let mut bucket = Bucket::new(rate, start);
            let mut sent = Vec::new();
            let mut now = start;
            while now < start + Duration::from_secs(150) {
                while bucket.take(now) {
                    sent.push(now);
                }
                now = bucket.ready_at(now, 0);
            }
            let most = sent.iter().enumerate().map(|(number, first)| {
                // An interval is a whole number of nanoseconds: sixty of them may be a little less than a minute.
                let end = *first + Duration::from_secs(60) - Duration::from_micros(1);
                sent.partition_point(|at| *at < end) - number
            });
            let (most, limit) = (most.max().unwrap(), usize::try_from(limit).unwrap());
            assert!(most <= limit, "{most} of {limit} in a minute, with a share of {share} and {rate:?}");
            assert!(budget.burst() >= 1);
        }
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 7\n";
    let settings = loaded(file, &[("TASKGATE_SERVER__LISTEN", "[::1]:2")]);
    assert_eq!(settings.server.listen.to_string(), "[::1]:2");
    assert_eq!(settings.server.max_connections, 7);
    assert_eq!(settings.polling.max_tasks, 20_000);
}

#[test]
fn variables_spell_every_type() {
    let settings = loaded(
        "[upstream.headers]\nX-Gone = \"the variable replaces the whole table\"",
        &[
            ("TASKGATE_SERVER__ALLOWED_HOSTS", "A.example, b.example"),
            ("TASKGATE_UPSTREAM__ROUTES", "/a/{id},/b/{id}"),
            ("TASKGATE_UPSTREAM__HEADERS", "X-Team=a=b, X-Two=2"),
            ("TASKGATE_UPSTREAM__TERMINAL_STATUSES", "DONE,Dead"),
            ("TASKGATE_BUDGET__SHARE", "1"),
            ("TASKGATE_LOG__ACCESS", "true"),
            ("TASKGATE_UPSTREAM__MAX_BODY", "2 MiB"),
            ("TASKGATE_POLLING__MAX_WAIT", "1m 30s"),
            ("TASKGATE_LIMITS__MAX_STREAMS", "0"),
            ("TASKGATE_ADMIN__LISTEN", "off"),
            ("TASKGATE_SERVER__ALLOWED_ORIGINS", ""),
            ("TASKGATE_CONFIG", "elsewhere.toml"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(settings.server.allowed_hosts, AllowList::These(vec!["a.example".into(), "b.example".into()]));
    assert_eq!(settings.upstream.routes.iter().count(), 2);
    let headers = &settings.upstream.headers;
    assert_eq!((headers.len(), headers[0].0.as_str(), &headers[0].1), (2, "x-team", &"a=b".parse().unwrap()));
    assert_eq!(settings.upstream.terminal_statuses, ["done", "dead"]);
    assert_eq!(settings.budget.share, 1.0);
    assert!(settings.log.access);
    assert_eq!(settings.upstream.max_body, 2 << 20);
    assert_eq!(settings.polling.max_wait, Duration::from_secs(90));
    assert_eq!(settings.limits.max_streams, None);
    assert_eq!(settings.admin.listen, None);
    assert_eq!(settings.server.allowed_origins, AllowList::These(vec![]));
}

#[test]
fn what_is_printed_can_be_read_again() {
    let file = r#"
        [server]
        listen = "0.0.0.0:80"
        allowed_hosts = ["*"]
        allowed_origins = ["https://app.example.com", "http://localhost:5173", "capacitor://localhost"]
        shutdown_grace = "1m 30s"
        [upstream]
        base_url = "http://lemon.internal:8080/prefix/"
        headers = { X-Team = "a \"b\"", "X#Odd" = "1" }
        status_pointer = "/a~1b/~0"
        created_pointer = ""
        auth_header = "X-Goog-Api-Key"
        auth_scheme = ""
        routes = [
            "/v1/tasks/{id}",
            { path = "/a/{id}", status_pointer = "/data/state", terminal_statuses = ["Done", "2"] },
            { path = "/b/{id}", result = true },
        ]
        max_body = "1025B"
        [cache]
        max_bytes = "1536KiB"
        stale_for = "0s"
        [budget]
        share = 1
        [access]
        open_to_network = true
        [limits]
        max_streams = 0
        [log]
        format = "json"
        filter = "warn,taskgate::core=debug"
    "#;
    let first = loaded(file, &[]);
    assert_eq!(first.upstream.base_url.as_str(), "http://lemon.internal:8080/prefix");
    let own = |reading: &RouteReading| (reading.status_pointer.is_some(), reading.result);
    let readings: Vec<_> = first.upstream.readings.iter().map(own).collect();
    assert_eq!(readings, [(false, false), (true, false), (false, true)]);
    assert_eq!(first.upstream.routes.find("/b/x").unwrap().route(), 2);
    let printed = render(&first);
    let second = loaded(&printed, &[]);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert_eq!(render(&second), printed);
}

fn gather(flag: Option<&str>, env: &[(&str, &str)], dir: &Path) -> Result<Option<PathBuf>, String> {
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let sources = Sources::gather(flag.map(Path::new), env, dir).map_err(|faults| faults.to_string())?;
    Ok(sources.file.map(|(path, _)| path))
}

#[test]
fn the_flag_names_the_file_before_the_variable_before_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let named = [("TASKGATE_CONFIG", "named.toml")];
    assert_eq!(gather(None, &[], dir.path()), Ok(None));
    for name in ["config.toml", "named.toml", "flag.toml"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(gather(None, &[], dir.path()), Ok(Some("config.toml".into())));
    assert_eq!(gather(None, &[("TASKGATE_CONFIG", "")], dir.path()), Ok(Some("config.toml".into())));
    assert_eq!(gather(None, &named, dir.path()), Ok(Some("named.toml".into())));
    assert_eq!(gather(Some("flag.toml"), &named, dir.path()), Ok(Some("flag.toml".into())));
}

#[test]
fn a_file_that_was_named_must_be_readable() {
    let dir = tempfile::tempdir().unwrap();
    let missing = "the file cannot be read: there is no such file; correct the name, or create it";
    assert_eq!(gather(Some("a.toml"), &[], dir.path()), Err(format!("--config (a.toml): {missing}")));
    let named = [("TASKGATE_CONFIG", "b.toml")];
    assert_eq!(gather(None, &named, dir.path()), Err(format!("TASKGATE_CONFIG (b.toml): {missing}")));
    // Docker creates a directory for a mount whose file does not exist.
    std::fs::create_dir(dir.path().join("config.toml")).unwrap();
    assert_eq!(
        gather(None, &[], dir.path()),
        Err("config.toml: the file cannot be read: it is a directory; name a file, or remove it".to_owned())
    );
}

#[cfg(unix)]
#[test]
fn only_our_own_variables_must_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let odd = || OsString::from_vec(vec![0xff]);
    let dir = tempfile::tempdir().unwrap();
    let env = [(odd(), odd()), ("OTHER".into(), odd())];
    assert!(Sources::gather(None, env, dir.path()).unwrap().env.is_empty());
    let faults = Sources::gather(None, [("TASKGATE_LOG__FILTER".into(), odd())], dir.path()).err().unwrap();
    assert_eq!(faults.to_string(), "TASKGATE_LOG__FILTER: is not valid UTF-8; write it anew");
}

/// `X-Forwarded-For` and peers are compared in their canonical form, which is IPv4 for a mapped address: a
/// mapped network never matched, and nothing said so.
#[test]
fn an_ipv4_mapped_network_is_the_ipv4_network_it_means() {
    for (written, meant) in [
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:c0a8:0/112", "192.168.0.0/16"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::FFFF:192.0.2.1/128", "192.0.2.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::10.0.0.0/104", "::a00:0/104"),
        // More than the mapped addresses: these are IPv6 networks, and trust no IPv4 address.
        ("::/0", "::/0"),
        ("::ffff:0:0/95", "::ffff:0.0.0.0/95"),
    ] {
        let settings = loaded(&format!("server.trusted_proxies = [{written:?}]"), &[]);
        assert_eq!(settings.server.trusted_proxies, [meant.parse().unwrap()], "{written}");
    }
}
