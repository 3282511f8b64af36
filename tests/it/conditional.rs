//! Entity tags, 304 and the headers that tell a client what it got.

use crate::support::{Reply, Upstream, gateway, get, get_with, request, until};

#[tokio::test]
async fn a_client_that_has_the_bytes_gets_304() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    let first = get(gateway.address, "/v1/tasks/a").await;
    let tag = first.expect("etag");
    assert!(tag.starts_with('"') && tag.ends_with('"'), "strong: {tag}");
    for value in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer =
                request(gateway.address, method, "/v1/tasks/a", &format!("If-None-Match: {value}\r\n")).await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{method} {value}");
            assert_eq!(answer.expect("etag"), tag);
            assert_eq!(answer.expect("cache-control"), "private, no-cache");
            assert_eq!(answer.expect("vary"), "accept, prefer, origin");
            assert_eq!(answer.header("content-type"), None);
        }
    }
    let other = get_with(gateway.address, "/v1/tasks/a", "If-None-Match: \"other\"\r\n").await;
    assert_eq!((other.status, other.body), (200, first.body));
}

#[tokio::test]
async fn a_tag_does_not_hide_an_error() {
    let upstream =
        Upstream::always(Reply::new(404, "", r#"{"error":{"code":"async_task_not_found"}}"#)).await;
    let gateway = gateway(&upstream, &[]).await;
    let answer = get_with(gateway.address, "/v1/tasks/a", "If-None-Match: *\r\n").await;
    assert_eq!(answer.status, 404, "RFC 9110, 13.2.1: conditions only count where the answer would be 2xx");
}

#[tokio::test]
async fn another_state_has_another_tag() {
    let upstream = Upstream::start(|number, _| Reply::json(&format!(r#"{{"progress":{number}}}"#))).await;
    let gateway =
        gateway(&upstream, &[("polling.fresh_for", "10ms"), ("polling.max_interval", "10ms")]).await;
    let first = get(gateway.address, "/v1/tasks/a").await;
    let header = format!("If-None-Match: {}\r\n", first.expect("etag"));
    let second = until("the state is no longer fresh", async || {
        let answer = get_with(gateway.address, "/v1/tasks/a", &header).await;
        (answer.status != 304).then_some(answer)
    })
    .await;
    assert_eq!((second.status, second.text().as_str()), (200, r#"{"progress":1}"#));
    assert_ne!(second.expect("etag"), first.expect("etag"));
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_others_are_replaced() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let gateway = gateway(&upstream, &[]).await;
    let answer = get_with(gateway.address, "/v1/tasks/a", "X-Request-Id: web-42\r\n").await;
    assert_eq!(answer.expect("x-request-id"), "web-42");
    for bad in ["a b", &"x".repeat(65), "<script>"] {
        let answer = get_with(gateway.address, "/v1/tasks/a", &format!("X-Request-Id: {bad}\r\n")).await;
        assert_eq!(answer.expect("x-request-id").len(), 32, "{bad}");
    }
    let error = get_with(gateway.address, "/nowhere", "X-Request-Id: web-43\r\n").await;
    assert_eq!((error.status, error.expect("x-request-id").as_str()), (404, "web-43"), "errors have it too");
}
