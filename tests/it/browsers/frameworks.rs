//! The hooks for React, Vue and Svelte in `examples/frameworks`, built by Vite and run in Chromium.

use serde_json::{Value, json};

use crate::clients::parts::{Part, client_command};
use crate::clients::play::Play;
use crate::clients::processing;
use crate::clients::watching::start;
use crate::support::{Relay, Reply, until_metric};

const WATCHERS: &str = "taskgate_watchers";

#[tokio::test(flavor = "multi_thread")]
async fn react_shows_a_task_to_its_end() {
    to_the_end("react").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vue_shows_a_task_to_its_end() {
    to_the_end("vue").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn svelte_shows_a_task_to_its_end() {
    to_the_end("svelte").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn react_ends_the_connection_with_its_component() {
    leaves("react").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vue_ends_the_connection_with_its_component() {
    leaves("vue").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn svelte_ends_the_connection_with_its_component() {
    leaves("svelte").await;
}

#[test]
fn a_hook_has_at_most_25_lines() {
    let hooks = [
        include_str!("../../../examples/frameworks/react/useTask.js"),
        include_str!("../../../examples/frameworks/vue/useTask.js"),
        include_str!("../../../examples/frameworks/svelte/useTask.js"),
    ];
    for hook in hooks {
        assert!(hook.lines().count() <= 25, "{hook}");
        assert!(hook.lines().all(|line| line.len() <= 120), "{hook}");
    }
}

fn shows(status: &str, bar: f64, seen: &Value) -> bool {
    seen["status"] == status && seen["bar"] == bar && seen["trouble"].is_null()
}

async fn to_the_end(name: &str) {
    let Some(mut command) = client_command("frameworks.mjs", Part::Frameworks) else { return };
    command.arg(name);
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("life", Reply::json(&processing(10)));
    let gateway = upstream.gateway().await;
    let relay = Relay::to(gateway.address).await;
    let mut page = start(command, &format!("http://{}/v1/tasks/life", relay.address));
    page.wait_for(|seen| shows("processing", 0.1, seen));
    upstream.now("life", Reply::json(&processing(55)));
    page.wait_for(|seen| shows("processing", 0.55, seen));
    upstream.now("life", Reply::new(500, "", "oops"));
    page.wait_for(|seen| seen["trouble"].as_str().is_some_and(|text| text.len() > 20) && seen["bar"] == 0.55);
    upstream.now("life", Reply::json(&processing(55)));
    page.wait_for(|seen| shows("processing", 0.55, seen));
    relay.cut();
    upstream.now("life", Reply::json(&processing(90)));
    page.wait_for(|seen| shows("processing", 0.9, seen));
    upstream.now("life", Reply::json(r#"{"status":"completed"}"#));
    page.wait_for(|seen| seen["status"] == "completed" && seen["bar"].is_null() && seen["trouble"].is_null());
    until_metric(gateway.admin, WATCHERS, 0).await;
}

async fn leaves(name: &str) {
    let Some(mut command) = client_command("frameworks.mjs", Part::Frameworks) else { return };
    command.arg(name);
    let upstream = Play::begin(|play, _, path| play.says(path)).await;
    upstream.now("life", Reply::json(&processing(10)));
    let gateway = upstream.gateway().await;
    let mut page = start(command, &format!("http://{}/v1/tasks/life", gateway.address));
    page.wait_for(|seen| shows("processing", 0.1, seen) && seen["button"] == "Leave");
    until_metric(gateway.admin, WATCHERS, 1).await;
    page.close_stdin();
    page.wait_for(|seen| seen["button"] == "Come back" && seen["status"].is_null());
    until_metric(gateway.admin, WATCHERS, 0).await;
    page.wait_for(|seen| *seen == json!({"pressed": true}));
}
