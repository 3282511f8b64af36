//! The code of docs/tickets.md, line by line: a back end in Python or JavaScript creates a task and signs a
//! ticket, and a page in a browser watches the task with it.

use std::process::Command;

use serde_json::{Value, json};
use taskgate::sandbox::Options;

use crate::clients::parts::{Part, client_command};
use crate::support::{KEY, free_port, gateway_at, run, sandbox};

const SECRET: &str = "a-secret-of-more-than-32-bytes-for-tests";

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_back_end_in_python_signs_for_the_documented_page() {
    let Some(command) = client_command("backend.py", Part::Python) else { return };
    from_create_to_end(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_back_end_in_javascript_signs_for_the_documented_page() {
    let Some(command) = client_command("backend.mjs", Part::Node) else { return };
    from_create_to_end(command).await;
}

async fn from_create_to_end(mut back_end: Command) {
    let Some(mut page) = client_command("ticket_page.mjs", Part::Chromium) else { return };
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("ticket_secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let duration = std::time::Duration::from_secs(3);
    let options = Options { duration, failure_rate: 0.0, ..Options::default() };
    let (_sandbox, upstream, _lifecycle) = sandbox(options).await;
    let upstream = format!("http://{upstream}");
    // The page's origin has to be known before the page is there.
    let port = free_port();
    let gateway = gateway_at(
        &upstream,
        &[
            ("access.mode", "protected"),
            ("access.ticket_secret_file", secret.to_str().unwrap()),
            ("server.allowed_origins", &format!("http://127.0.0.1:{port}")),
            ("polling.fresh_for", "200ms"),
            ("polling.max_interval", "200ms"),
        ],
    )
    .await;

    back_end.args(["a lemon tree", "ann"]);
    back_end.env("LEMONDATA_URL", &upstream).env("LEMONDATA_API_KEY", KEY).env("TICKET_SECRET_FILE", &secret);
    let task = run(back_end).next_line();
    let given: Value = serde_json::from_str(&task).unwrap();
    assert!(given["poll_url"].as_str().unwrap().starts_with("/v1/"), "{task}");
    assert!(!task.contains(KEY) && !task.contains(SECRET), "{task}");

    page.args([port.to_string(), format!("http://{}", gateway.address), task]);
    let page = run(page);
    let mut seen: Vec<Value> = Vec::new();
    while seen.is_empty() || seen[seen.len() - 1]["refused"].is_null() {
        seen.push(serde_json::from_str(&page.next_line()).unwrap());
    }
    let last = seen.split_off(seen.len() - 3);
    assert_eq!(
        last,
        [
            json!({"watched": "completed"}),
            json!({"looked": "completed"}),
            json!({"refused": "ticket_not_for_task"})
        ]
    );
}
