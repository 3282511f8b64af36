//! `/openapi.json` against the gateway that it describes: schemathesis asks for all that it allows, and for what it
//! does not, and judges every answer by it.

use std::time::Duration;

use serde_json::Value;
use taskgate::core::hex::encode as hex;
use taskgate::core::token::hash;
use taskgate::sandbox::{Course, Medium, Options, Plan};

use super::parts::{Part, client_command};
use crate::support::{Gateway, gateway_at, get, run, sandbox};

const LIMIT: Duration = Duration::from_secs(180);
const TOKEN: &str = "tg_for-schemathesis";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_with_ids_of_its_own() {
    tried(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_violation_with_a_task_that_exists() {
    tried(Some(Duration::ZERO)).await;
}

/// With ids of its own, or with one of a task of this length.
async fn tried(task: Option<Duration>) {
    let Some(mut command) = client_command("openapi.py", Part::Python) else { return };
    let options =
        Options { latency: Duration::ZERO, requests_per_minute: 0, failure_rate: 0.0, ..Options::default() };
    let (sandbox, upstream, _lifecycle) = sandbox(options).await;
    let files = tempfile::tempdir().unwrap();
    let tokens = files.path().join("tokens");
    std::fs::write(&tokens, format!("schemathesis {}", hex(&hash(TOKEN)))).unwrap();
    let settings = [
        ("access.mode", "protected"),
        ("access.token_file", tokens.to_str().unwrap()),
        ("access.allow_cancel", "true"),
        ("budget.requests_per_minute", "10000000"),
        ("polling.max_wait", "100ms"),
        ("polling.max_stream", "100ms"),
    ];
    let gateway = gateway_at(&format!("http://{upstream}"), &settings).await;
    let Gateway { address, admin, .. } = &gateway;
    command.args([format!("http://{admin}/openapi.json"), format!("http://{address}"), TOKEN.to_owned()]);
    if let Some(duration) = task {
        let course = Course::Run { duration: Some(duration), ending: None };
        command.arg(sandbox.create(Medium::Video, Plan { course, ..Plan::default() }));
    }
    let (code, stdout, stderr) =
        tokio::task::spawn_blocking(|| run(command).end_within(LIMIT)).await.unwrap();
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("passed"), "it has tried something: {stdout}");
}

#[tokio::test]
async fn the_description_is_of_this_gateway() {
    let describe = async |extra: &[(&str, &str)]| -> Value {
        let gateway = gateway_at("http://127.0.0.1:9", extra).await;
        let answer = get(gateway.admin, "/openapi.json").await;
        assert_eq!((answer.status, answer.expect("content-type").as_str()), (200, "application/json"));
        serde_json::from_slice(&answer.body).unwrap()
    };
    let plain = describe(&[("upstream.routes", "/v1/predictions/{id},/v1/tasks/{id}")]).await;
    let paths: Vec<&String> = plain["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/livez", "/taskgate.js", "/v1/predictions/{id}", "/v1/tasks", "/v1/tasks/{id}"]);
    assert!(plain["paths"]["/v1/tasks/{id}"]["delete"].is_null());
    assert!(plain["components"]["securitySchemes"].is_null(), "open mode asks for none");
    let names = plain["components"]["schemas"].as_object().unwrap();
    let text = plain.to_string();
    for (at, _) in text.match_indices("#/components/schemas/") {
        let name = text[at + 21..].split('"').next().unwrap();
        assert!(names.contains_key(name), "{name} is described");
    }
}
