//! Many tasks in one request: as a list, and as one stream.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{End, Events, QUICK, Reply, Seen, Upstream, gateway, get, get_with, request, until};

async fn upstream() -> Upstream {
    Upstream::start(|_, request| {
        let path = request.split(' ').nth(1).unwrap();
        match path.rsplit('/').next().unwrap() {
            "done" => Reply::json("{ \"status\":\"completed\",\n \"big\":1e999 }"),
            "live" => Reply::json(r#"{"status":"processing"}"#),
            "missing" => Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#),
            "broken" => Reply::new(500, "", "{}"),
            "slow" => Reply::raw("", End::Hang),
            other => Reply::json(&format!(r#"{{"status":"completed","id":"{other}"}}"#)),
        }
    })
    .await
}

#[tokio::test]
async fn a_list_has_an_item_for_each_id_in_order() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream, QUICK).await;
    let path = "/v1/tasks?id=done&id=live&id=missing&id=b%2Fad&id=/v1/images/img_1&id=%2Fv1%2Fmusic%2Fgenerations%2Fm&id=broken&id=/nowhere/x&id=done";
    let answer = get(gateway.address, path).await;
    assert_eq!((answer.status, answer.expect("cache-control").as_str()), (200, "no-store"));
    assert!(
        answer.text().contains("{ \"status\":\"completed\",\n \"big\":1e999 }"),
        "untouched: {}",
        answer.text()
    );
    let list: Value = serde_json::from_str(&answer.text().replace("1e999", "1")).unwrap();
    assert_eq!(list["object"], "list");
    let items = list["data"].as_array().unwrap();
    let codes: Vec<(&str, u64)> =
        items.iter().map(|item| (item["id"].as_str().unwrap(), item["code"].as_u64().unwrap())).collect();
    assert_eq!(
        codes,
        [
            ("done", 200),
            ("live", 200),
            ("missing", 404),
            ("b/ad", 400),
            ("/v1/images/img_1", 200),
            ("/v1/music/generations/m", 200),
            ("broken", 502),
            ("/nowhere/x", 404),
        ]
    );
    assert_eq!(items[0]["path"], "/v1/tasks/done");
    assert_eq!(items[1]["task"]["status"], "processing");
    assert_eq!(items[2]["error"]["code"], "async_task_not_found");
    assert_eq!(items[3]["error"]["code"], "invalid_task_id");
    assert_eq!(items[4]["path"], "/v1/images/img_1");
    assert_eq!(items[6]["error"]["code"], "upstream_error");
    assert!(items[6]["error"]["retry_after"].is_u64());
    assert_eq!(items[7]["error"]["code"], "unknown_route");
    assert_eq!(upstream.count(), 6, "an id that comes twice is asked about once, and answered once");
}

#[tokio::test]
async fn a_list_waits_no_longer_than_patience() {
    let upstream = upstream().await;
    let settings = [QUICK, &[("upstream.timeout", "10m")]].concat();
    let gateway = gateway(&upstream, &settings).await;
    let start = Instant::now();
    let answer = get(gateway.address, "/v1/tasks?id=slow&id=done").await;
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    let list: Value = serde_json::from_str(&answer.text().replace("1e999", "1")).unwrap();
    assert_eq!(list["data"][0]["error"]["code"], "upstream_timeout", "{list}");
    assert!(list["data"][0]["error"]["retry_after"].is_u64(), "{list}");
    assert_eq!(list["data"][1]["code"], 200);
}

#[tokio::test]
async fn a_stale_item_is_marked() {
    let upstream = Upstream::start(|number, _| {
        if number == 0 { Reply::json(r#"{"status":"processing"}"#) } else { Reply::new(500, "", "{}") }
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let first: Value = serde_json::from_str(&get(gateway.address, "/v1/tasks?id=a").await.text()).unwrap();
    assert_eq!(first["data"][0].get("stale"), None);
    until("it is marked", async || {
        let next = get(gateway.address, "/v1/tasks?id=a").await.text();
        let next: Value = serde_json::from_str(&next).unwrap();
        assert_eq!(next["data"][0]["code"], 200);
        // Fresh until the upstream is asked again, which fails.
        let marked = next["data"][0]["stale"].as_bool();
        assert_eq!(marked, (upstream.count() > 1).then_some(true));
        marked
    })
    .await;
}

#[tokio::test]
async fn a_slash_too_many_is_told() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream, QUICK).await;
    let answer = get(gateway.address, "/v1/tasks/?id=a&id=b").await;
    assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_parameter"));
    assert!(answer.text().contains("without a slash"), "{}", answer.text());
}

#[tokio::test]
async fn the_number_of_ids_is_bounded() {
    let upstream = upstream().await;
    let gateway = gateway(&upstream, QUICK).await;
    let ids = |count: usize| (0..count).map(|n| format!("id=t{n}")).collect::<Vec<_>>().join("&");
    for (path, status) in [
        ("/v1/tasks".to_owned(), 400),
        ("/v1/tasks?x=1".to_owned(), 400),
        (format!("/v1/tasks?{}", ids(101)), 400),
        (format!("/v1/tasks?{}", ["id=t0"; 101].join("&")), 400),
        (format!("/v1/tasks?{}", ids(100)), 200),
        (format!("/v1/tasks?{}", ["id=t0"; 100].join("&")), 200),
    ] {
        let answer = get(gateway.address, &path).await;
        assert_eq!(answer.status, status);
        if status == 400 {
            assert_eq!(answer.error_code(), "invalid_parameter");
        }
    }
    let head = request(gateway.address, "HEAD", "/v1/tasks?id=t0", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(request(gateway.address, "POST", "/v1/tasks?id=t0", "").await.status, 405);
}

#[tokio::test]
async fn a_refusal_that_will_pass_is_not_the_end_of_a_stream() {
    let upstream = upstream().await;
    let settings = [QUICK, &[("polling.max_tasks", "1")]].concat();
    let gateway = gateway(&upstream, &settings).await;
    let mut events = Events::open(gateway.address, "/v1/tasks?id=live&id=x", "").await;
    let seen = events.next().await;
    let Seen::Event { name, data, .. } = &seen else { panic!("{seen:?}") };
    let item: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (name.as_str(), item["id"].as_str(), item["code"].as_u64()),
        ("trouble", Some("x"), Some(503))
    );
    assert_eq!(item["error"]["code"], "overloaded");
    loop {
        match events.next().await {
            Seen::Event { name, data, .. } => assert_eq!(name, "", "never done: {data}"),
            Seen::Retry(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events.next().await, Seen::End, "it asks to come back");
}

#[tokio::test]
async fn one_stream_carries_them_all_until_each_is_over() {
    let upstream = Upstream::start(|number, request| {
        let live = Reply::json(&format!(r#"{{"status":"processing","n":{number}}}"#));
        if request.contains("/a ") && number > 6 {
            Reply::json(r#"{"status":"completed"}"#)
        } else if request.contains("/b ") && number > 10 {
            Reply::json(r#"{"status":"failed"}"#)
        } else if request.contains("/gone ") {
            Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#)
        } else {
            live
        }
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let path = "/v1/tasks?id=a&id=b&id=gone&id=no!id";
    let mut events = Events::open(gateway.address, path, "").await;
    assert_eq!(events.status, 200);
    let mut last = std::collections::HashMap::new();
    let end = loop {
        let seen = events.next().await;
        let Seen::Event { name, id, data } = &seen else { panic!("{seen:?}") };
        if name == "done" {
            break id.clone();
        }
        assert_eq!(id, "", "no ids but the last one");
        let item: Value = serde_json::from_str(data).unwrap();
        last.insert(item["id"].as_str().unwrap().to_owned(), (name.clone(), item));
    };
    assert_eq!(end, "end");
    assert_eq!(events.next().await, Seen::End);
    assert_eq!(last["a"].1["task"]["status"], "completed");
    assert_eq!(last["b"].1["task"]["status"], "failed");
    assert_eq!((last["gone"].0.as_str(), last["gone"].1["code"].as_u64()), ("gone", Some(404)));
    assert_eq!((last["no!id"].0.as_str(), last["no!id"].1["code"].as_u64()), ("", Some(400)));
    let header = "Last-Event-ID: end\r\nAccept: text/event-stream\r\n";
    assert_eq!(get_with(gateway.address, path, header).await.status, 204);
}
