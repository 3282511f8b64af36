//! Owns the client of the sandbox's tests, which calls the router without a socket, on paused time.

mod life;
mod manners;

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

const S: Duration = Duration::from_secs(1);

struct Answer {
    code: u16,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status code and the error code; checks the form of the envelope.
    fn refusal(&self) -> (u16, String) {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        assert_eq!(self.header("content-type"), "application/json; charset=utf-8");
        (self.code, error["code"].as_str().unwrap().to_owned())
    }
}

fn refused(code: u16, word: &str) -> (u16, String) {
    (code, word.to_owned())
}

/// Options without latency and without random failures.
fn plain() -> Options {
    Options { latency: Duration::ZERO, failure_rate: 0.0, duration: 100 * S, ..Options::default() }
}

async fn ask(sandbox: &Sandbox, method: &str, path: &str, authorization: &str, body: String) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let response = sandbox.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer { code: head.status.as_u16(), headers: head.headers, bytes }
}

async fn with_key(sandbox: &Sandbox, key: &str, path: &str) -> Answer {
    ask(sandbox, "GET", path, &format!("Bearer {key}"), String::new()).await
}

async fn get(sandbox: &Sandbox, path: &str) -> Answer {
    with_key(sandbox, "sk-sandbox", path).await
}

async fn delete(sandbox: &Sandbox, id: &str) -> Answer {
    ask(sandbox, "DELETE", &format!("/v1/tasks/{id}"), "Bearer sk-sandbox", String::new()).await
}

async fn post(sandbox: &Sandbox, medium: Medium, body: Value) -> Answer {
    ask(sandbox, "POST", medium.create_path(), "Bearer sk-sandbox", body.to_string()).await
}

/// Creates a task with `wishes` as the object `sandbox`, and returns its `poll_url`.
async fn made(sandbox: &Sandbox, medium: Medium, wishes: Value) -> String {
    let answer = post(sandbox, medium, json!({"prompt": "p", "sandbox": wishes})).await;
    answer.json()["poll_url"].as_str().unwrap().to_owned()
}

fn pinned(pin: Pin) -> Plan {
    Plan { course: Course::Pinned(pin), ..Plan::default() }
}

fn run(duration: Duration, ending: Ending) -> Course {
    Course::Run { duration: Some(duration), ending: Some(ending) }
}
