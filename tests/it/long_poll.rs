//! Long-polls over sockets: `?wait=` and `Prefer: wait`, with and without If-None-Match.

use std::time::{Duration, Instant};

use crate::support::{End, Gateway, Reply, Upstream, gateway, get, get_with, until_metric};

const LIVE: &str = r#"{"status":"processing"}"#;
const DONE: &str = r#"{"status":"completed"}"#;
const QUICK: &[(&str, &str)] = &[("polling.fresh_for", "100ms"), ("polling.max_interval", "100ms")];

/// A task that is live for so many answers, and then done.
async fn done_after(answers: usize) -> (Upstream, Gateway) {
    let upstream =
        Upstream::start(move |number, _| Reply::json(if number < answers { LIVE } else { DONE })).await;
    let gateway = gateway(&upstream, QUICK).await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_wait_ends_when_the_task_does() {
    let (upstream, gateway) = done_after(4).await;
    let start = Instant::now();
    let answer = get(gateway.address, "/v1/tasks/a?wait=20").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, DONE));
    assert!(start.elapsed() < Duration::from_secs(10), "not at the end of the wait: {:?}", start.elapsed());
    assert_eq!(upstream.count(), 5, "the gateway asked, at its own pace");
    assert_eq!(answer.header("preference-applied"), None, "the query asked, not Prefer");
    let start = Instant::now();
    let again = get_with(gateway.address, "/v1/tasks/a", "Prefer: wait=20\r\n").await;
    assert_eq!(again.text(), DONE);
    assert_eq!(again.expect("preference-applied"), "wait=20");
    assert!(start.elapsed() < Duration::from_secs(5), "a terminal state answers at once");
    assert_eq!(upstream.count(), 5);
}

#[tokio::test]
async fn a_wait_without_news_ends_with_the_latest() {
    let (_upstream, gateway) = done_after(usize::MAX).await;
    let start = Instant::now();
    let answer = get(gateway.address, "/v1/tasks/a?wait=1").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, LIVE));
    assert!(start.elapsed() >= Duration::from_secs(1));
    let header = format!("If-None-Match: {}\r\nPrefer: wait=1\r\n", answer.expect("etag"));
    let start = Instant::now();
    let unchanged = get_with(gateway.address, "/v1/tasks/a", &header).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.expect("preference-applied"), "wait=1");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn with_a_tag_any_other_state_is_news() {
    let upstream =
        Upstream::start(|number, _| Reply::json(&format!(r#"{{"progress":{}}}"#, number / 3))).await;
    let gateway = gateway(&upstream, QUICK).await;
    let first = get(gateway.address, "/v1/tasks/a").await;
    let header = format!("If-None-Match: {}\r\n", first.expect("etag"));
    let start = Instant::now();
    let second = get_with(gateway.address, "/v1/tasks/a?wait=20", &header).await;
    assert_eq!((second.status, second.text().as_str()), (200, r#"{"progress":1}"#));
    assert!(start.elapsed() < Duration::from_secs(10));
    let start = Instant::now();
    let other = get_with(gateway.address, "/v1/tasks/a?wait=20", "If-None-Match: \"other\"\r\n").await;
    assert_eq!(other.status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "what differs already is answered at once");
}

#[tokio::test]
async fn failures_on_the_way_are_waited_out() {
    let upstream =
        Upstream::start(|number, _| if number < 2 { Reply::new(503, "", "{}") } else { Reply::json(DONE) })
            .await;
    let gateway = gateway(&upstream, QUICK).await;
    let answer = get(gateway.address, "/v1/tasks/a?wait=20").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, DONE), "after 1 s and 2 s of back-off");
}

#[tokio::test]
async fn failures_to_the_end_are_told_at_the_end() {
    let upstream = Upstream::always(Reply::new(503, "", "{}")).await;
    let gateway = gateway(&upstream, QUICK).await;
    let start = Instant::now();
    let answer = get(gateway.address, "/v1/tasks/a?wait=1").await;
    assert_eq!((answer.status, answer.error_code().as_str()), (502, "upstream_error"));
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_slow_upstream_is_called_slow_and_not_a_spent_budget() {
    let upstream = Upstream::always(Reply::raw("", End::Hang)).await;
    let gateway = gateway(&upstream, QUICK).await;
    let answer = get(gateway.address, "/v1/tasks/a?wait=1").await;
    assert_eq!((answer.status, answer.error_code().as_str()), (504, "upstream_timeout"));
}

#[tokio::test]
async fn a_404_is_waited_out_whether_it_was_known_or_not() {
    for asked_before in [false, true] {
        let upstream = Upstream::start(|number, _| match number {
            0 | 1 => Reply::new(404, "", r#"{"error":{}}"#),
            _ => Reply::json(DONE),
        })
        .await;
        let settings = [QUICK, &[("cache.not_found_ttl", "300ms")]].concat();
        let gateway = gateway(&upstream, &settings).await;
        if asked_before {
            assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 404);
        }
        let answer = get_with(gateway.address, "/v1/tasks/a?wait=20", "If-None-Match: \"x\"\r\n").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, DONE), "asked before: {asked_before}");
    }
}

#[tokio::test]
async fn a_bad_wait_is_told_and_a_long_one_is_capped() {
    let upstream = Upstream::always(Reply::json(LIVE)).await;
    let gateway = gateway(&upstream, &[("polling.max_wait", "1s")]).await;
    for bad in ["", "x", "-1", "1.5"] {
        let answer = get(gateway.address, &format!("/v1/tasks/a?wait={bad}")).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (400, "invalid_parameter"), "{bad}");
    }
    let capped = get_with(gateway.address, "/v1/tasks/a", "Prefer: wait=3600\r\n").await;
    assert_eq!((capped.status, capped.expect("preference-applied").as_str()), (200, "wait=1"));
}

#[tokio::test]
async fn a_drain_answers_with_the_latest() {
    let (upstream, gateway) = done_after(usize::MAX).await;
    let address = gateway.address;
    let start = Instant::now();
    let waiting = tokio::spawn(async move { get(address, "/v1/tasks/a?wait=30").await });
    until_metric(gateway.admin, "taskgate_watchers", 1).await;
    // Asked a second time, so the first answer is known.
    upstream.asked(2).await;
    assert!(!waiting.is_finished(), "a live state is no news");
    gateway.lifecycle.stop();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, LIVE));
    assert!(start.elapsed() < Duration::from_secs(25), "not at the end of the wait: {:?}", start.elapsed());
}
