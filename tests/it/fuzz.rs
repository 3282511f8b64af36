//! The checks of the fuzz targets, run over their seeds: a finding, once it is a seed, stays found.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

#[path = "../../fuzz/checks/answer.rs"]
mod answer;
#[path = "../../fuzz/checks/config.rs"]
mod config;
#[path = "../../fuzz/checks/connection.rs"]
mod connection;
#[path = "../../fuzz/support/gateway.rs"]
mod gateway;
#[path = "../../fuzz/checks/id.rs"]
mod id;
#[path = "../../fuzz/checks/list.rs"]
mod list;
#[path = "../../fuzz/checks/prefer.rs"]
mod prefer;
#[path = "../../fuzz/checks/retry_after.rs"]
mod retry_after;
#[path = "../../fuzz/checks/sse.rs"]
mod sse;
#[path = "../../fuzz/checks/status.rs"]
mod status;
#[path = "../../fuzz/checks/ticket.rs"]
mod ticket;

type Check = fn(&[u8]);

/// Each target: its name, and what it checks.
const TARGETS: &[(&str, Check)] = &[
    ("answer", answer::check),
    ("config", config::check),
    ("connection", connection::check),
    ("id", id::check),
    ("list", list::check),
    ("prefer", prefer::check),
    ("retry_after", retry_after::check),
    ("sse", sse::check),
    ("status", status::check),
    ("ticket", ticket::check),
];

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(dir: &str) -> Vec<PathBuf> {
    let dir = home().join(dir);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_seed_passes_its_check() {
    for (name, check) in TARGETS {
        let seeds = files(&format!("seeds/{name}"));
        assert!(seeds.len() >= 10, "{name} has {} seeds: too few to show anything", seeds.len());
        for seed in seeds {
            // Shown where the check fails.
            println!("{}", seed.display());
            check(&fs::read(seed).unwrap());
        }
    }
}

#[test]
fn every_target_runs_here_and_is_built_by_cargo_fuzz() {
    let manifest = fs::read_to_string(home().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let built: BTreeSet<_> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| bin["name"].as_str().unwrap().to_owned())
        .collect();
    let here: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let stems = |dir| -> BTreeSet<_> {
        files(dir).iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(built, here);
    for dir in ["checks", "fuzz_targets", "seeds"] {
        assert_eq!(stems(dir), here, "{dir}");
    }
}
