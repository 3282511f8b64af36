//! The files made for those who read `/metrics`: each metric is described, and every name in them is one.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use taskgate::http::RequestCounters;
use taskgate::telemetry::metrics::ALL;

use crate::support::Reply;
use crate::support::{Upstream, gateway, get};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

async fn page() -> String {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    get(gateway.address, "/v1/tasks/a").await;
    get(gateway.address, "/v1/tasks?id=a&id=b").await;
    get(gateway.admin, "/metrics").await.text()
}

#[tokio::test]
async fn the_page_holds_every_metric_once_with_its_type_and_help() {
    let page = page().await;
    let told: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
    let mut wanted = Vec::new();
    for metric in ALL {
        wanted.push(format!("# HELP {} {}", metric.name, metric.help.trim()));
        wanted.push(format!("# TYPE {} {}", metric.name, metric.kind));
    }
    assert_eq!(told, wanted);
}

#[test]
fn operations_md_describes_the_metrics_as_the_code_does() {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for metric in ALL {
        let (name, kind, help) = (metric.name, metric.kind, metric.help.trim());
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        table.push_str(&format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(" ")));
    }
    let text = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    assert!(text.contains(&table), "docs/operations.md should hold this table:\n{table}");
}

#[test]
fn operations_md_explains_every_word_of_the_labels() {
    let text = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for (route, outcome, _) in RequestCounters::new(tokio::time::Instant::now()).requests() {
        for word in [route, outcome] {
            assert!(text.contains(&format!("`{word}`")), "{word}");
        }
    }
}

/// Names of metrics in an expression: what follows no quote, and is no label.
fn names(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_word(c))
        .filter(|word| word.starts_with("taskgate_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn unknown(text: &str) -> Vec<String> {
    let known = |name: &str| {
        ALL.iter().any(|metric| {
            let suffixes: &[&str] = match metric.kind.to_string().as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(metric.name))
        })
    };
    names(text).into_iter().filter(|name| !known(name)).collect()
}

#[test]
fn the_dashboard_loads_and_asks_for_metrics_that_there_are() {
    let text = std::fs::read_to_string(root().join("docs/grafana.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 36);
    assert!(board["id"].is_null() && board["uid"].is_string() && board["title"].is_string());
    let variables = board["templating"]["list"].as_array().unwrap();
    assert!(
        variables.iter().any(|variable| variable["type"] == "datasource" && variable["name"] == "datasource")
    );
    let panels = board["panels"].as_array().unwrap();
    assert!((10..=20).contains(&panels.len()), "{}", panels.len());
    let (mut ids, mut places) = (BTreeSet::new(), Vec::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        assert!(panel["type"].is_string() && !panel["description"].as_str().unwrap().is_empty(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is off the grid");
        for (other, (ox, oy, ow, oh)) in &places {
            let apart = x + w <= *ox || ox + ow <= x || y + h <= *oy || oy + oh <= y;
            assert!(apart, "{title} lies on {other}");
        }
        places.push((title, (x, y, w, h)));
        let targets = panel["targets"].as_array().unwrap();
        let mut letters = BTreeSet::new();
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert!(!names(expression).is_empty(), "{title}: {expression}");
            assert_eq!(unknown(expression), Vec::<String>::new(), "{title}: {expression}");
            assert!(letters.insert(target["refId"].as_str().unwrap()), "{title}");
        }
        assert!(!targets.is_empty(), "{title}");
    }
}

#[test]
fn the_alerts_ask_for_metrics_that_there_are() {
    let text = std::fs::read_to_string(root().join("docs/alerts.yaml")).unwrap();
    assert_eq!(text.matches("- alert:").count(), 5);
    assert_eq!(unknown(&text), Vec::<String>::new());
}

/// Prometheus' own tool; `None` where there is none, which is said, and is a failure in CI.
fn promtool(arguments: &[&str]) -> Option<Command> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&paths).chain([root().join("target")]);
    let Some(promtool) = dirs.map(|dir| dir.join("promtool")).find(|file| file.is_file()) else {
        let text = "NOT RUN: promtool (Debian's package prometheus) is missing; try: .ci/install tests\n";
        assert!(!std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false"), "{text}");
        // Not eprintln: a test that passes would keep it to itself.
        let _ = std::io::stderr().write_all(text.as_bytes());
        return None;
    };
    let mut command = Command::new(promtool);
    command
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Some(command)
}

#[track_caller]
fn finds_nothing(mut command: Command, input: &str) -> String {
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_page() {
    let Some(command) = promtool(&["check", "metrics"]) else { return };
    assert_eq!(finds_nothing(command, &page().await), "");
}

#[test]
fn promtool_takes_the_alerts_and_they_fire_when_they_should() {
    let Some(command) = promtool(&["check", "rules", "docs/alerts.yaml"]) else { return };
    assert!(finds_nothing(command, "").contains("5 rules found"));
    let Some(command) = promtool(&["test", "rules", "tests/it/metrics/alerts_test.yaml"]) else { return };
    finds_nothing(command, "");
}

#[test]
fn promtool_can_read_the_dashboards_expressions() {
    let text = std::fs::read_to_string(root().join("docs/grafana.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: Vec<Value> = targets
        .enumerate()
        .map(|(number, target)| {
            // As Grafana fills them in.
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            let expression =
                expression.replace("$__range", "6h").replace("$job", ".*").replace("$instance", ".*");
            assert!(!expression.contains('$'), "{expression}");
            json!({"record": format!("panel:{number}"), "expr": expression})
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    std::fs::write(&file, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    let Some(command) = promtool(&["check", "rules", file.path().to_str().unwrap()]) else { return };
    assert!(finds_nothing(command, "").contains("rules found"));
}
