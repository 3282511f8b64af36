//! The house: who may name whom. `main → cli → app → {server, http, upstream, sandbox, telemetry} → core`;
//! `config` holds plain data that all but the core may name, `lifecycle` is there for everyone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room, and the rooms it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["cli"]),
    ("cli", &["app", "config", "core", "lifecycle", "sandbox", "server", "telemetry"]),
    ("app", &["config", "core", "http", "lifecycle", "server", "telemetry", "upstream"]),
    ("server", &["lifecycle"]),
    ("http", &["config", "core", "lifecycle"]),
    ("upstream", &["config", "core"]),
    ("sandbox", &["core"]),
    ("telemetry", &["config"]),
    ("config", &["core"]),
    ("core", &["lifecycle"]),
    ("lifecycle", &[]),
];

/// Crates that only these rooms may name.
const CRATES: &[(&str, &[&str])] = &[
    ("axum", &["http", "sandbox", "server"]),
    ("hyper", &["server", "upstream"]),
    ("hyper_util", &["server"]),
    ("reqwest", &["upstream"]),
    ("rustls", &["upstream"]),
    ("tower_http", &["http"]),
    ("itoa", &["http"]),
    ("parking_lot", &["core", "http", "sandbox", "upstream"]),
    ("strsim", &["config"]),
    ("memchr", &["upstream"]),
    ("mimalloc", &["main"]),
    ("moka", &["core", "http"]),
    ("jsonwebtoken", &["core"]),
    ("ring", &["core"]),
    ("utoipa", &["http"]),
    ("toml", &["config"]),
    ("clap", &["cli", "sandbox", "main"]),
    ("tracing_subscriber", &["telemetry", "config"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The text without comments: they may speak of anything.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn names_after<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    text.match_indices(prefix)
        .filter(|(at, _)| {
            !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$')
        })
        .map(|(at, _)| {
            let rest = &text[at + prefix.len()..];
            &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn no_arrow_points_the_wrong_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 40, "the walk finds the sources");
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let room = room(relative);
        let (_, may_name) = ARROWS
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("a new room, {room}: say in this test whom it may name"));
        let text = code(&file);
        // `use crate::{a, b}` would hide names from this test.
        if text.contains("crate::{") {
            wrong.push(format!("{}: write one `use crate::…` a line", relative.display()));
        }
        for name in names_after(&text, "crate::").into_iter().chain(names_after(&text, "taskgate::")) {
            let is_room = ARROWS.iter().any(|(known, _)| *known == name);
            if is_room && name != room {
                seen.insert((room.clone(), name.to_owned()));
                if !may_name.contains(&name) {
                    wrong.push(format!("{}: {room} names {name}", relative.display()));
                }
            }
        }
        for (krate, rooms) in CRATES {
            if text.contains(&format!("{krate}::")) && !rooms.contains(&room.as_str()) {
                let inside = text.match_indices(&format!("{krate}::")).any(|(at, _)| {
                    !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if inside {
                    wrong.push(format!("{}: {room} names the crate {krate}", relative.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "broken arrows:\n{}", wrong.join("\n"));
    for (room, names) in ARROWS {
        for name in *names {
            assert!(
                seen.contains(&((*room).to_owned(), (*name).to_owned())),
                "{room} → {name} is allowed, but unused: remove it"
            );
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} begins with what it owns", file.display());
    }
}

#[test]
fn only_access_issues_grants() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let issuers: Vec<_> = files
        .iter()
        .filter(|file| !file.ends_with("tests.rs") && code(file).contains("Grant::issue("))
        .map(|file| file.strip_prefix(&src).unwrap().to_owned())
        .collect();
    assert_eq!(issuers, [Path::new("http/guards/access.rs")]);
}
