//! The house: which room may name which, and that no two files import each other. The rooms and their arrows are
//! explained in ARCHITECTURE.md.

mod source;

use std::collections::{BTreeMap, BTreeSet};

use self::source::{File, House};

/// Each room, and the rooms it may name. `config` holds plain data that all but the core may name; `lifecycle` is
/// there for everyone.
const ROOMS: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["cli"]),
    ("cli", &["app", "config", "core", "lifecycle", "sandbox", "server", "telemetry"]),
    ("app", &["config", "core", "http", "lifecycle", "server", "shared", "telemetry", "upstream"]),
    ("server", &["core", "lifecycle"]),
    ("http", &["config", "core", "lifecycle"]),
    ("upstream", &["config", "core"]),
    ("shared", &["core"]),
    ("sandbox", &["core"]),
    ("telemetry", &["config", "core"]),
    ("config", &["core"]),
    ("core", &["lifecycle"]),
    ("lifecycle", &[]),
];

/// The wings of `src/http`, and the wings that each may name: front → {admin, tasks} → gateway → guards → respond →
/// `request_log`, and three leaves for everybody.
const WINGS: &[(&str, &[&str])] = &[
    ("mod", &[]),
    ("front", &["admin", "gateway", "guards", "head", "request_log", "respond", "tasks"]),
    ("admin", &["gateway", "guards", "headers", "request_log", "respond"]),
    ("tasks", &["gateway", "guards", "head", "headers", "list_header", "request_log", "respond"]),
    ("gateway", &["guards", "request_log", "respond"]),
    ("guards", &["head", "headers", "request_log", "respond"]),
    ("respond", &["head", "headers", "list_header", "request_log"]),
    ("request_log", &["head", "headers"]),
    ("headers", &[]),
    ("head", &[]),
    ("list_header", &[]),
];

/// Crates that only these rooms may name.
const CRATES: &[(&str, &[&str])] = &[
    ("axum", &["http", "sandbox", "server"]),
    ("hyper", &["server", "upstream"]),
    ("hyper_util", &["server"]),
    ("reqwest", &["upstream"]),
    ("redis", &["shared"]),
    ("rustls", &["upstream", "config"]),
    ("tower_http", &["http"]),
    ("itoa", &["http"]),
    ("memchr", &["upstream"]),
    ("mimalloc", &["main"]),
    ("moka", &["core", "http"]),
    ("parking_lot", &["core", "http", "sandbox", "server", "shared", "telemetry", "upstream"]),
    ("strsim", &["config"]),
    ("jsonwebtoken", &["core"]),
    ("ring", &["core"]),
    ("utoipa", &["http"]),
    ("toml", &["config"]),
    ("clap", &["cli", "sandbox", "main"]),
    ("tracing_subscriber", &["telemetry", "config"]),
];

/// Fails on each arrow that `allowed` does not have, and on each that it has in vain.
fn hold(allowed: &[(&str, &[&str])], arrows: &BTreeMap<(String, String), String>) {
    let mut wrong = Vec::new();
    for ((from, to), example) in arrows {
        let (_, may_name) = allowed
            .iter()
            .find(|(name, _)| name == from)
            .unwrap_or_else(|| panic!("a new room, {from}: say in this test which rooms it may name"));
        if !may_name.contains(&to.as_str()) {
            wrong.push(format!("{from} → {to}: {example}"));
        }
    }
    assert!(wrong.is_empty(), "broken arrows:\n{}", wrong.join("\n"));
    for (from, names) in allowed {
        for to in *names {
            let is_used = arrows.contains_key(&((*from).to_owned(), (*to).to_owned()));
            assert!(is_used, "{from} → {to} is allowed, but unused: remove it");
        }
    }
}

/// The arrows between the rooms that `room` sorts files into.
fn arrows<'h>(
    house: &'h House,
    room: impl Fn(&'h File) -> Option<&'h str>,
) -> BTreeMap<(String, String), String> {
    let mut arrows = BTreeMap::new();
    for (from, to) in house.imports() {
        if let (Some(one), Some(other)) = (room(from), room(to))
            && one != other
        {
            let example = format!("{} imports {}", from.path, to.path);
            arrows.entry((one.to_owned(), other.to_owned())).or_insert(example);
        }
    }
    arrows
}

#[test]
fn no_arrow_points_the_wrong_way() {
    let house = House::read();
    assert!(house.files().count() > 120, "the walk finds the sources");
    // The library's root only lists the rooms.
    hold(ROOMS, &arrows(&house, |file| Some(file.room(0)).filter(|room| *room != "lib")));
    hold(WINGS, &arrows(&house, |file| file.path.starts_with("http/").then(|| file.room(1))));
}

#[test]
fn no_two_files_import_each_other() {
    let house = House::read();
    let mut after: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in house.imports() {
        after.entry(&from.path).or_default().insert(&to.path);
    }
    // Files that import nothing of the rest are taken away until none is left, or a circle.
    loop {
        let leaves: Vec<&str> = after
            .iter()
            .filter(|(_, imports)| imports.iter().all(|import| !after.contains_key(import)))
            .map(|(file, _)| *file)
            .collect();
        if leaves.is_empty() {
            break;
        }
        for leaf in leaves {
            after.remove(leaf);
        }
    }
    // The same from the other end: files that only lead into a circle are no part of it.
    loop {
        let imported: BTreeSet<&str> = after.values().flatten().copied().collect();
        let before = after.len();
        after.retain(|file, _| imported.contains(file));
        if after.len() == before {
            break;
        }
    }
    let circle: Vec<String> = after
        .iter()
        .map(|(file, imports)| {
            let within: Vec<_> =
                imports.iter().filter(|import| after.contains_key(*import)).copied().collect();
            format!("{file} imports {}", within.join(", "))
        })
        .collect();
    assert!(circle.is_empty(), "these files import each other:\n{}", circle.join("\n"));
}

#[test]
fn crates_stay_in_their_rooms() {
    let house = House::read();
    let mut wrong = Vec::new();
    for file in house.files() {
        let room = file.room(0);
        for (name, rooms) in CRATES {
            if file.names_crate(name) && !rooms.contains(&room) {
                wrong.push(format!("{}: {room} names the crate {name}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    for file in House::read().files() {
        assert!(file.text.starts_with("//! "), "{} begins with what it owns", file.path);
    }
}

/// Replicas' clocks may differ by hours: what they tell each other are times of Redis, and spans.
#[test]
fn replicas_share_by_no_clock_of_their_own() {
    let house = House::read();
    let is_shared = |path: &str| {
        ["shared/", "core/shared.rs", "core/refresh/", "core/budget/"]
            .iter()
            .any(|part| path.starts_with(part))
    };
    let names_clock =
        |code: &str| ["SystemTime", "UNIX_EPOCH", "jiff"].iter().any(|name| code.contains(name));
    let files: Vec<_> = house.files().filter(|file| is_shared(&file.path)).collect();
    assert!(files.len() > 30, "{} files", files.len());
    let wrong: Vec<_> = files.iter().filter(|file| names_clock(&file.code)).map(|file| &*file.path).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn only_access_issues_grants() {
    let house = House::read();
    let issuers: Vec<_> =
        house.files().filter(|file| file.code.contains("Grant::issue(")).map(|file| &*file.path).collect();
    assert_eq!(issuers, ["http/guards/access.rs"]);
}
