//! What needs a real browser: Chromium and Firefox, whose own `EventSource` lives through a task as other clients do, and
//! the pages of this repository. They stand apart, as they take long: `make test-browsers` runs them, `make test` does not.
//!
//! Their parts come from `.ci/install browsers`. Where one is missing its tests say so and pass; with `CI` set they fail.

mod dashboard;
mod example_page;
mod films;
mod frameworks;
mod taskgate_js;
mod tickets;

use serde_json::json;

use crate::clients::parts::Part;
use crate::clients::watching::start;
use crate::clients::{Client, gone, life, many, page, tag};
use crate::support::{Reply, Upstream, gateway};

#[tokio::test(flavor = "multi_thread")]
async fn chromium_lives_through_a_task() {
    life(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sees_a_task_go() {
    gone(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_sees_many_tasks_to_their_end() {
    many(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_lives_through_a_task() {
    life(Client::Firefox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_sees_a_task_go() {
    gone(Client::Firefox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn firefox_sees_many_tasks_to_their_end() {
    many(Client::Firefox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_polyfill_lives_through_a_task_and_does_not_come_back() {
    life(Client::Polyfill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_polyfill_sees_a_task_go_and_does_not_come_back() {
    gone(Client::Polyfill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_polyfill_sees_many_tasks_to_their_end() {
    many(Client::Polyfill).await;
}

/// Firefox tells nobody of a response before the first byte of its body.
#[tokio::test(flavor = "multi_thread")]
async fn firefox_sees_a_stream_open_before_there_is_a_state() {
    let (reply, held) = Reply::json(r#"{"status":"completed"}"#).held();
    let upstream = Upstream::always(reply).await;
    let gateway = gateway(&upstream, &[("upstream.timeout", "50s")]).await;
    let Some(command) = page("eventsource", Part::Firefox) else { return };
    let mut client = start(command, &format!("http://{}/v1/tasks/a", gateway.address));
    client.expect(json!({"event": "open"}));
    drop(held);
    let body = r#"{"status":"completed"}"#;
    client.expect(json!({"event": "message", "id": tag(body), "data": body}));
}
