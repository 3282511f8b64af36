//! Owns the tests of a task's states, from its create until it is gone.

use super::super::state::wall_clock;
use jiff::Timestamp;
use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_create_tells_where_to_poll() {
    let sandbox = Sandbox::new(plain());
    for medium in Medium::ALL {
        let answer = post(&sandbox, medium, json!({"prompt": "zwei 🍋 \"q\"", "model": "m-1"})).await;
        assert_eq!(answer.code, 200);
        let body = answer.json();
        let id = body["id"].as_str().unwrap();
        let digits = id.strip_prefix("ldtask_").unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|b| b"0123456789abcdef".contains(&b)), "{id}");
        assert_eq!(body["task_id"], id);
        assert_eq!(body["poll_url"], format!("/v1/tasks/{id}"));
        assert_eq!((&body["status"], &body["progress"]), (&json!("pending"), &json!(0)));
        assert_eq!((&body["prompt"], &body["model"]), (&json!("zwei 🍋 \"q\""), &json!("m-1")));
        assert_eq!(body["created"], body["updated"]);
        assert_eq!(get(&sandbox, &format!("/v1/tasks/{id}")).await.bytes, answer.bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_to_its_end() {
    let sandbox = Sandbox::new(plain());
    let path = made(&sandbox, Medium::Video, json!({})).await;
    let at = async |age| {
        advance(age).await;
        let body = get(&sandbox, &path).await.json();
        let updated = body["updated"].as_i64().unwrap() - body["created"].as_i64().unwrap();
        (body["status"].as_str().unwrap().to_owned(), body["progress"].clone(), updated)
    };
    assert_eq!(at(19 * S).await, ("pending".into(), json!(0), 0));
    assert_eq!(at(41 * S).await, ("processing".into(), json!(50), 60));
    assert_eq!(at(39 * S).await, ("processing".into(), json!(98), 98));
    assert_eq!(at(S).await, ("completed".into(), json!(100), 100));
}

#[tokio::test(start_paused = true)]
async fn images_take_half_the_time_and_wishes_their_own() {
    let sandbox = Sandbox::new(plain());
    let image = made(&sandbox, Medium::Image, json!({})).await;
    let quick = made(&sandbox, Medium::Music, json!({"duration": "5s", "fail": true})).await;
    advance(5 * S).await;
    assert_eq!(get(&sandbox, &quick).await.json()["status"], "failed");
    advance(44 * S).await;
    let body = get(&sandbox, &image).await.json();
    assert_eq!((&body["status"], &body["data"]), (&json!("processing"), &json!([{"url": ""}])));
    advance(S).await;
    assert_eq!(get(&sandbox, &image).await.json()["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn each_medium_ends_with_its_results() {
    let sandbox = Sandbox::new(plain());
    let cases = [
        (Medium::Video, &["/video_url", "/video/url", "/videos/0/url"][..]),
        (Medium::Image, &["/data/0/url"]),
        (Medium::Music, &["/audio_url"]),
        (Medium::ThreeD, &["/model_url", "/glb_url", "/fbx_url"]),
    ];
    for (medium, urls) in cases {
        let id = sandbox.create(medium, pinned(Pin::Completed));
        let body = get(&sandbox, &format!("/v1/tasks/{id}")).await.json();
        assert_eq!((&body["status"], &body["progress"]), (&json!("completed"), &json!(100)));
        assert_eq!(body.get("error"), None);
        for pointer in urls {
            let url = body.pointer(pointer).unwrap().as_str().unwrap();
            assert!(url.starts_with(&format!("https://cdn.sandbox.example/files/{id}.")), "{url}");
            let created = Timestamp::from_second(body["created"].as_i64().unwrap()).unwrap();
            let date = created.strftime("X-Amz-Date=%Y%m%dT%H%M%SZ&").to_string();
            assert!(url.contains(&date) && url.contains("X-Amz-Expires=604800&"), "{url}");
        }
    }
    let id = sandbox.create(Medium::Music, pinned(Pin::Completed));
    let body = get(&sandbox, &format!("/v1/tasks/{id}")).await.json();
    assert!(!body["title"].as_str().unwrap().is_ascii() && body["lyrics"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_a_string_in_a_200() {
    let sandbox = Sandbox::new(Options { failure_rate: 1.0, ..plain() });
    let path = made(&sandbox, Medium::ThreeD, json!({})).await;
    let spared = made(&sandbox, Medium::ThreeD, json!({"fail": false})).await;
    advance(100 * S).await;
    let answer = get(&sandbox, &path).await;
    let body = answer.json();
    assert_eq!((answer.code, &body["status"]), (200, &json!("failed")));
    assert!(body["error"].is_string(), "{body}");
    assert_eq!((body.get("model_url"), body.get("cancelled")), (None, None));
    assert_eq!(get(&sandbox, &spared).await.json()["status"], "completed");
}

#[tokio::test(start_paused = true)]
async fn a_pin_holds_for_ever() {
    let sandbox = Sandbox::new(plain());
    let cases = [
        (json!({"status": "pending"}), "pending", json!(0)),
        (json!({"status": "processing"}), "processing", json!(50)),
        (json!({"status": "processing", "progress": 7}), "processing", json!(7)),
        (json!({"status": "completed"}), "completed", json!(100)),
        (json!({"status": "failed"}), "failed", Value::Null),
        (json!({"status": "cancelled"}), "failed", Value::Null),
    ];
    for (wishes, status, progress) in cases {
        for medium in Medium::ALL {
            let created = post(&sandbox, medium, json!({"prompt": "p", "sandbox": wishes})).await.json();
            assert_eq!((&created["status"], &created["progress"]), (&json!(status), &progress), "{wishes}");
            let first = get(&sandbox, created["poll_url"].as_str().unwrap()).await;
            let (path, body) = (created["poll_url"].as_str().unwrap(), first.json());
            assert_eq!((&body["status"], &body["progress"]), (&json!(status), &progress), "{wishes}");
            assert_eq!(body.get("cancelled").is_some(), wishes["status"] == "cancelled");
            advance(1_000_000 * S).await;
            assert_eq!(get(&sandbox, path).await.bytes, first.bytes, "{wishes}");
        }
    }
    let expired = made(&sandbox, Medium::Video, json!({"status": "expired"})).await;
    assert_eq!(get(&sandbox, &expired).await.refusal(), refused(404, "async_task_not_found"));
}

#[tokio::test(start_paused = true)]
async fn the_same_state_is_the_same_bytes_by_every_path() {
    let sandbox = Sandbox::new(plain());
    let cases = [
        (Medium::Video, &["/v1/tasks", "/v1/videos/generations"][..]),
        (Medium::Image, &["/v1/tasks", "/v1/images/generations", "/v1/images"]),
        (Medium::Music, &["/v1/tasks", "/v1/music/generations"]),
        (Medium::ThreeD, &["/v1/tasks", "/v1/3d/generations"]),
    ];
    let all = ["/v1/tasks", "/v1/videos/generations", "/v1/images", "/v1/images/generations"];
    let all = [&all[..], &["/v1/music/generations", "/v1/3d/generations"]].concat();
    for (medium, own) in cases {
        let plan = Plan { elapsed: 60 * S, course: run(100 * S, Ending::Completed), ..Plan::default() };
        let id = sandbox.create(medium, plan);
        let first = get(&sandbox, &format!("/v1/tasks/{id}")).await;
        assert_eq!(first.json()["progress"], 50);
        // Still within the percent, which takes 0.8 s.
        advance(Duration::from_millis(700)).await;
        for path in &all {
            let answer = get(&sandbox, &format!("{path}/{id}")).await;
            if own.contains(path) {
                assert_eq!((answer.code, &answer.bytes), (200, &first.bytes), "{path}");
                assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
            } else {
                assert_eq!(answer.refusal(), refused(404, "async_task_not_found"), "{path}");
            }
        }
        advance(Duration::from_millis(200)).await;
        assert_ne!(get(&sandbox, &format!("/v1/tasks/{id}")).await.bytes, first.bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_may_have_begun_before() {
    let sandbox = Sandbox::new(plain());
    let now = wall_clock().as_second();
    let plan = |ending| Plan { elapsed: 90 * S, course: run(60 * S, ending), ..Plan::default() };
    for (ending, status) in [(Ending::Completed, "completed"), (Ending::Failed, "failed")] {
        let id = sandbox.create(Medium::Video, plan(ending));
        let body = get(&sandbox, &format!("/v1/tasks/{id}")).await.json();
        assert_eq!(body["status"], status);
        assert!(body["created"].as_i64().unwrap() >= now - 90, "{body}");
        assert_eq!(body["updated"].as_i64().unwrap() - body["created"].as_i64().unwrap(), 60);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ended_task_stays_the_same_and_then_is_gone() {
    let sandbox = Sandbox::new(Options { expire_after: 50 * S, ..plain() });
    let path = made(&sandbox, Medium::Image, json!({"duration": "10s"})).await;
    advance(10 * S).await;
    let ended = get(&sandbox, &path).await;
    assert_eq!(ended.json()["status"], "completed");
    advance(49 * S).await;
    assert_eq!(get(&sandbox, &path).await.bytes, ended.bytes);
    advance(S).await;
    assert_eq!(get(&sandbox, &path).await.refusal(), refused(404, "async_task_not_found"));
}

#[tokio::test(start_paused = true)]
async fn a_new_task_may_be_unknown_for_a_while() {
    let sandbox = Sandbox::new(Options { not_found_for: 2 * S, ..plain() });
    let path = made(&sandbox, Medium::Video, json!({})).await;
    let answer = get(&sandbox, &path).await;
    assert_eq!(answer.refusal(), refused(404, "async_task_not_found"));
    assert_eq!(answer.json()["error"]["message"], "Task not found or no longer available.");
    advance(2 * S).await;
    assert_eq!(get(&sandbox, &path).await.code, 200);
}

#[tokio::test(start_paused = true)]
async fn only_a_pending_video_is_cancelled() {
    let sandbox = Sandbox::new(Options { expire_after: 50 * S, ..plain() });
    let id = sandbox.create(Medium::Video, Plan::default());
    advance(7 * S).await;
    let cancelled = delete(&sandbox, &id).await;
    let body = cancelled.json();
    assert_eq!((cancelled.code, &body["status"]), (200, &json!("failed")));
    assert_eq!((&body["cancelled"], &body["cancellation_status"]), (&json!(true), &json!("cancelled")));
    assert_eq!(body["updated"].as_i64().unwrap() - body["created"].as_i64().unwrap(), 7);
    assert_eq!(delete(&sandbox, &id).await.refusal(), refused(409, "task_not_cancellable"));
    advance(49 * S).await;
    assert_eq!(get(&sandbox, &format!("/v1/tasks/{id}")).await.bytes, cancelled.bytes);
    advance(S).await;
    assert_eq!(delete(&sandbox, &id).await.refusal(), refused(404, "async_task_not_found"));

    for pin in [Pin::Processing(1), Pin::Completed, Pin::Failed, Pin::Cancelled] {
        let id = sandbox.create(Medium::Video, pinned(pin));
        assert_eq!(delete(&sandbox, &id).await.refusal(), refused(409, "task_not_cancellable"), "{pin:?}");
    }
    for medium in [Medium::Image, Medium::Music, Medium::ThreeD] {
        let id = sandbox.create(medium, Plan::default());
        assert_eq!(delete(&sandbox, &id).await.refusal(), refused(400, "unsupported_task_cancel"));
    }
    let path = format!("/v1/tasks/{}", sandbox.create(Medium::Video, Plan::default()));
    let other = ask(&sandbox, "DELETE", &path, "Bearer sk-forbidden", String::new()).await;
    assert_eq!(other.refusal(), refused(403, "access_denied"));
    assert_eq!(get(&sandbox, &path).await.json()["status"], "pending");
}
