//! The dependencies against `deny.toml`, for whoever has no cargo-deny: each comes from crates.io, under a licence
//! that is allowed, in one version unless it is listed there. For this platform only, by what manifests say; texts
//! of licences and known vulnerabilities are for `make deny`.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it has just built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every crate of the tree, those of tests and benchmarks included; not the members of the workspace.
fn dependencies() -> Vec<Value> {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let text = cargo(&["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", host]);
    let Value::Array(mut packages) = serde_json::from_str::<Value>(&text).unwrap()["packages"].take() else {
        panic!("cargo metadata lists packages");
    };
    packages.retain(|package| package["name"] != "taskgate" && package["name"] != "taskgate-bench");
    packages
}

fn rules() -> toml::Table {
    include_str!("../../deny.toml").parse().unwrap()
}

#[test]
fn every_dependency_is_one_that_deny_toml_lets_in() {
    let rules = rules();
    let words = |list: &toml::Value, key: &str| -> Vec<String> {
        let word = |item: &toml::Value| item.get(key).unwrap_or(item).as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(word).collect()
    };
    let allowed = words(&rules["licenses"]["allow"], "");
    let (borne, banned) = (words(&rules["bans"]["skip"], "crate"), words(&rules["bans"]["deny"], "crate"));
    let mut versions = BTreeMap::<String, Vec<String>>::new();
    let mut wrong = Vec::new();
    for package in dependencies() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let licence = package["license"].as_str().unwrap_or("no licence");
        if package["source"] != CRATES_IO {
            wrong.push(format!("{name} {version} is not from crates.io"));
        }
        if !permits(licence, &allowed) {
            wrong.push(format!("{name} {version}: {licence}"));
        }
        if banned.iter().any(|banned| banned == name) {
            wrong.push(format!("{name} {version} is banned"));
        }
        if !borne.iter().any(|borne| format!("{name}@{version}").starts_with(&format!("{borne}."))) {
            versions.entry(name.to_owned()).or_default().push(version.to_owned());
        }
    }
    assert!(versions.len() > 50, "the tree is found");
    let twice = versions.iter().filter(|(_, versions)| versions.len() > 1);
    wrong.extend(twice.map(|(name, versions)| format!("{name} comes as {}", versions.join(" and "))));
    assert!(wrong.is_empty(), "see deny.toml:\n{}", wrong.join("\n"));
}

/// Whether an SPDX expression can be met. `WITH` is not among the words of the list, and `/` is an old `OR`.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let (answer, rest) = any(&words, allowed);
    answer && rest.is_empty()
}

/// `a OR b`: the answer, and what follows.
fn any<'w>(words: &'w [&'w str], allowed: &[String]) -> (bool, &'w [&'w str]) {
    let (mut answer, mut rest) = all(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (other, after) = all(after, allowed);
        (answer, rest) = (answer || other, after);
    }
    (answer, rest)
}

/// `a AND b`.
fn all<'w>(words: &'w [&'w str], allowed: &[String]) -> (bool, &'w [&'w str]) {
    let (mut answer, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (other, after) = one(after, allowed);
        (answer, rest) = (answer && other, after);
    }
    (answer, rest)
}

/// A name, a name with an exception, or an expression in brackets.
fn one<'w>(words: &'w [&'w str], allowed: &[String]) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inner @ ..] => {
            let (answer, rest) = any(inner, allowed);
            (answer && rest.first() == Some(&")"), rest.get(1..).unwrap_or_default())
        }
        [_, "WITH", _, rest @ ..] => (false, rest),
        [name, rest @ ..] => (allowed.iter().any(|allowed| allowed == name), rest),
        [] => (false, words),
    }
}

#[test]
fn expressions_are_judged_as_they_are_meant() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for good in
        ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR MIT) AND ISC", "X WITH Y OR MIT", "((MIT))"]
    {
        assert!(permits(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "MIT WITH Y",
        "(MIT OR ISC) AND X",
        "MIT AND (X OR Y)",
        "MIT ISC",
        "(MIT",
    ] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}
