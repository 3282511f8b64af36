//! The documents: links lead to files, every setting that they name exists, and docs/settings.md has them all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use taskgate::config::{self, Sources};
use taskgate::sandbox::{Medium, Options, Plan};

use crate::support::{KEY, gateway_at, get, sandbox, settings};

/// Where operators read about settings.
const ABOUT_SETTINGS: &[&str] =
    &["README.md", "CONTRIBUTING.md", "docs", "deploy", "docker-compose.yml", "docker-compose.replicas.yml"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    for entry in std::fs::read_dir(path).unwrap() {
        files(&entry.unwrap().path(), found);
    }
}

/// The relative links of a Markdown text: what stands in `](…)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](").filter_map(|(at, _)| {
        let link = text[at + 2..].split(')').next()?.split('#').next()?;
        (!link.is_empty() && !link.contains("://") && !link.contains(char::is_whitespace)).then_some(link)
    })
}

/// The words of a text that begin so, up to where their alphabet ends.
fn words<'t>(text: &'t str, begin: &'t str, alphabet: fn(char) -> bool) -> impl Iterator<Item = &'t str> {
    text.match_indices(begin).filter(move |(at, _)| !text[..*at].ends_with(alphabet)).map(move |(at, _)| {
        let rest = &text[at..];
        let end = rest[begin.len()..].find(|c| !alphabet(c)).map_or(rest.len(), |end| begin.len() + end);
        &rest[..end]
    })
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let mut papers = Vec::new();
    for entry in std::fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "md") {
            papers.push(path);
        }
    }
    files(&root().join("docs"), &mut papers);
    papers.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    let mut dead = Vec::new();
    let mut count = 0;
    for paper in papers {
        let text = std::fs::read_to_string(&paper).unwrap();
        for link in links(&text) {
            count += 1;
            if !paper.parent().unwrap().join(link).exists() {
                dead.push(format!("{}: {link}", paper.display()));
            }
        }
    }
    assert!(count > 5, "the search finds links");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_setting_that_is_named_exists() {
    let known: toml::Table = config::render(&settings("http://localhost:1", &[])).parse().expect("settings");
    let mut keys = BTreeSet::new();
    for (section, content) in &known {
        keys.extend(content.as_table().unwrap().keys().map(|key| format!("{section}.{key}")));
    }
    assert!(keys.len() > 35, "{keys:?}");
    let mut papers = Vec::new();
    for path in ABOUT_SETTINGS {
        files(&root().join(path), &mut papers);
    }
    let mut unknown = Vec::new();
    let mut count = 0;
    for paper in papers {
        let Ok(text) = std::fs::read_to_string(&paper) else { continue };
        let mut judge = |named: &str, key: String| {
            count += 1;
            if !keys.contains(&key) {
                unknown.push(format!("{}: {named}", paper.display()));
            }
        };
        // An ending that names no key, such as TASKGATE_SECTION__KEY, is an example of the form.
        for variable in words(&text, "TASKGATE_", |c| c.is_ascii_alphanumeric() || c == '_') {
            if let Some((section, key)) = variable["TASKGATE_".len()..].split_once("__")
                && (section, key) != ("SECTION", "KEY")
            {
                judge(variable, format!("{section}.{key}").to_lowercase());
            }
        }
        for section in known.keys() {
            for quoted in words(&text, &format!("`{section}."), |c| c.is_ascii_lowercase() || c == '_') {
                judge(quoted, quoted[1..].to_owned());
            }
        }
    }
    assert!(count > 50, "the search finds settings: {count}");
    assert!(unknown.is_empty(), "no such settings:\n{}", unknown.join("\n"));
}

#[test]
fn settings_md_has_a_line_for_every_setting_with_its_default() {
    // The API key has no default, and the default mode needs a file of tokens or of a secret.
    let env = [("LEMONDATA_API_KEY", KEY), ("TASKGATE_ACCESS__MODE", "open")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let settings = config::load(&Sources { file: None, env }).unwrap_or_else(|faults| panic!("{faults}"));
    let mut defaults: toml::Table = config::render(&settings).parse().expect("settings");
    defaults["access"]["mode"] = "protected".into();

    let text = std::fs::read_to_string(root().join("docs/settings.md")).unwrap();
    let mut wanted = BTreeSet::new();
    for (section, content) in &defaults {
        for (key, default) in content.as_table().unwrap() {
            let begin = format!("| `{section}.{key}` | `{default}` |");
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(&begin)).collect();
            let [line] = lines[..] else {
                panic!("docs/settings.md should have one line that begins: {begin}")
            };
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "setting, default, unit, meaning: {line}");
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
            wanted.insert(format!("{section}.{key}"));
        }
    }
    let listed =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(key, _)| key);
    let listed: Vec<&str> = listed.filter(|key| key.contains('.') && !key.contains(' ')).collect();
    assert_eq!(listed.len(), wanted.len(), "a line twice, or of no setting");
    assert!(listed.iter().all(|key| wanted.contains(*key)), "{listed:?}");
}

/// The headers of the README's transcript are those of an answer, in their order.
#[tokio::test]
async fn the_transcript_in_the_readme_shows_the_headers_that_come() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let transcript = readme.split("```console\n$ curl -i ").nth(1).unwrap().split("\n\n{").next().unwrap();
    let names = |head: &str| {
        let names =
            head.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name.to_lowercase());
        names.collect::<Vec<_>>()
    };
    let (sandbox, address, _lifecycle) = sandbox(Options::default()).await;
    let id = sandbox.create(Medium::Video, Plan::default());
    let gateway = gateway_at(&format!("http://{address}"), &[]).await;
    let answer = get(gateway.address, &format!("/v1/tasks/{id}")).await;
    let mut came = names(&answer.head);
    came.retain(|name| name != "connection");
    assert_eq!(names(transcript.split_once('\n').unwrap().1), came);
}
