//! Owns the tests of keys, rate limits, errors and HTTP methods.

use axum::http::StatusCode;
use tokio::time::Instant;
use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn keys_are_judged() {
    let sandbox = Sandbox::new(plain());
    let id = sandbox.create(Medium::Video, Plan::default());
    let path = format!("/v1/tasks/{id}");
    for authorization in ["", "sk-sandbox", "Basic sk-sandbox", "Bearer", "Bearer sk-other", "Bearer é"] {
        let answer = ask(&sandbox, "GET", &path, authorization, String::new()).await;
        assert_eq!(answer.refusal(), refused(401, "invalid_api_key"), "{authorization}");
        assert!(!answer.json().to_string().contains("sk-other"), "the key is echoed");
    }
    assert_eq!(ask(&sandbox, "GET", &path, "bearer sk-sandbox", String::new()).await.code, 200);
    assert_eq!(with_key(&sandbox, "sk-expired", &path).await.refusal(), refused(401, "expired_api_key"));
    assert_eq!(with_key(&sandbox, "sk-empty", &path).await.refusal(), refused(402, "insufficient_balance"));
    for path in [&*path, "/v1/tasks/unknown"] {
        assert_eq!(with_key(&sandbox, "sk-forbidden", path).await.refusal(), refused(403, "access_denied"));
    }
    let body = r#"{"prompt":"p"}"#.to_owned();
    let created = ask(&sandbox, "POST", "/v1/3d/generations", "Bearer sk-forbidden", body).await;
    assert_eq!(created.code, 200);
    assert_eq!(sandbox.requests(), 11);

    let own = Sandbox::new(Options { api_key: "sk-mine".into(), ..plain() });
    assert_eq!(with_key(&own, "sk-sandbox", &path).await.code, 401);
    assert_eq!(with_key(&own, "sk-mine", &path).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_limited_and_recovers() {
    let sandbox = Sandbox::new(Options { requests_per_minute: 2, ..plain() });
    // The create counts too.
    let path = made(&sandbox, Medium::Video, json!({})).await;
    let second = get(&sandbox, &path).await;
    assert_eq!((second.code, second.header("x-ratelimit-limit")), (200, "2"));
    assert_eq!(second.header("x-ratelimit-remaining"), "0");

    advance(Duration::from_millis(17_500)).await;
    let third = get(&sandbox, &path).await;
    assert_eq!(third.refusal(), refused(429, "rate_limit_exceeded"));
    assert_eq!(third.header("retry-after"), "43");
    assert_eq!(third.json()["error"]["retry_after"], 43);
    assert_eq!(third.json()["error"]["retryable"], true);
    assert_eq!(third.header("x-ratelimit-remaining"), "0");
    assert_eq!(third.header("x-ratelimit-reset"), second.header("x-ratelimit-reset"));

    advance(43 * S).await;
    let fourth = get(&sandbox, &path).await;
    assert_eq!((fourth.code, fourth.header("x-ratelimit-remaining")), (200, "1"));
    assert_eq!(sandbox.requests(), 3);

    let free = Sandbox::new(Options { requests_per_minute: 0, ..plain() });
    assert!(!get(&free, "/v1/tasks/x").await.headers.contains_key("x-ratelimit-limit"));
}

#[tokio::test(start_paused = true)]
async fn bad_creates_are_refused() {
    let sandbox = Sandbox::new(plain());
    let answer = post(&sandbox, Medium::Video, json!({"model": "m"})).await;
    assert_eq!(answer.refusal(), refused(400, "invalid_request"));
    let error = &answer.json()["error"];
    assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!("prompt")));

    let sized = |bytes: usize| json!({"prompt": "x".repeat(bytes - r#"{"prompt":""}"#.len())});
    assert_eq!(post(&sandbox, Medium::Video, sized(64 << 10)).await.code, 200);
    let answer = post(&sandbox, Medium::Video, sized((64 << 10) + 1)).await;
    assert_eq!(answer.refusal(), refused(413, "payload_too_large"));
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_refused_in_the_envelope() {
    let sandbox = Sandbox::new(plain());
    assert_eq!(get(&sandbox, "/v1/models").await.refusal(), refused(404, "not_found"));
    assert_eq!(get(&sandbox, "/v1/tasks/%6cdtask").await.refusal(), refused(404, "async_task_not_found"));
    let answer = get(&sandbox, "/v1/images/generations").await;
    assert_eq!(answer.refusal(), refused(405, "method_not_allowed"));
    assert_eq!(answer.header("allow"), "POST");
    assert_eq!(get(&sandbox, "/files/x.svg").await.refusal(), refused(404, "not_found"));
}

#[tokio::test(start_paused = true)]
async fn head_is_get_without_the_body() {
    let sandbox = Sandbox::new(plain());
    let path = format!("/v1/tasks/{}", sandbox.create(Medium::Image, pinned(Pin::Completed)));
    let whole = get(&sandbox, &path).await;
    let head = ask(&sandbox, "HEAD", &path, "Bearer sk-sandbox", String::new()).await;
    assert_eq!((head.code, head.bytes.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.bytes.len().to_string());
    assert_eq!(head.header("content-type"), whole.header("content-type"));
}

#[tokio::test(start_paused = true)]
async fn an_image_can_be_fetched_where_its_url_says() {
    let sandbox = Sandbox::new(Options { results_url: "http://127.0.0.1:8788".into(), ..plain() });
    let id = sandbox.create(Medium::Image, pinned(Pin::Completed));
    let body = get(&sandbox, &format!("/v1/tasks/{id}")).await.json();
    let url = body["data"][0]["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://127.0.0.1:8788").unwrap();
    let image = ask(&sandbox, "GET", path, "", String::new()).await;
    assert_eq!((image.code, image.header("content-type")), (StatusCode::OK.as_u16(), "image/svg+xml"));
    assert!(image.bytes.starts_with(b"<svg "));
}

#[tokio::test(start_paused = true)]
async fn answers_are_held_back_together_and_not_in_turn() {
    let sandbox = Sandbox::new(Options { latency: 3 * S, ..plain() });
    let begun = Instant::now();
    let (first, second) = tokio::join!(get(&sandbox, "/v1/tasks/a"), get(&sandbox, "/v1/tasks/b"));
    assert_eq!((first.code, second.code), (404, 404));
    let taken = begun.elapsed();
    assert!(taken >= 3 * S && taken < 4 * S, "{taken:?}");
}
