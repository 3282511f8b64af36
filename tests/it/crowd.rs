//! A crowd of pollers costs one upstream request, and nobody's departure disturbs it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Reply, Upstream, gateway, get, until_metric, until_stale};

const LIVE: &str = r#"{"status":"processing","progress":40}"#;
const ACCEPTED: &str = "taskgate_connections_accepted_total{listener=\"main\"}";

#[tokio::test]
async fn a_thousand_polls_of_one_unfinished_task_are_one_upstream_request() {
    let (reply, hold) = Reply::json(LIVE).held();
    let upstream = Upstream::always(reply).await;
    let gateway = gateway(&upstream, &[("polling.fresh_for", "30s"), ("polling.max_interval", "30s")]).await;
    let mut crowd = JoinSet::new();
    for _ in 0..1000 {
        let address = gateway.address;
        crowd.spawn(async move { get(address, "/v1/tasks/one").await });
    }
    until_metric(gateway.admin, ACCEPTED, 1000).await;
    drop(hold);
    let answers = crowd.join_all().await;
    assert_eq!(upstream.count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == LIVE));
    let count = |part: &str| answers.iter().filter(|a| a.expect("cache-status").contains(part)).count();
    assert_eq!(count("fwd=miss; fwd-status=200; stored"), count("fwd=miss"));
    assert_eq!(count("collapsed") + count("hit"), 999, "one asked, the others joined it or came later");
}

#[tokio::test]
async fn a_finished_task_is_never_asked_about_again() {
    let upstream = Upstream::start(|_, request| {
        Reply::json(if request.contains("/done ") { r#"{"status":"completed"}"# } else { LIVE })
    })
    .await;
    let gateway =
        gateway(&upstream, &[("polling.fresh_for", "10ms"), ("polling.max_interval", "10ms")]).await;
    let first = get(gateway.address, "/v1/tasks/done").await;
    assert_eq!(first.expect("cache-status"), "taskgate; fwd=miss; fwd-status=200; stored");
    until_stale(gateway.address, &upstream, "/v1/tasks/clock", "").await;
    let mut crowd = JoinSet::new();
    for _ in 0..200 {
        let address = gateway.address;
        crowd.spawn(async move { get(address, "/v1/tasks/done").await });
    }
    for answer in crowd.join_all().await {
        assert_eq!((answer.status, &answer.body), (200, &first.body));
        let status = answer.expect("cache-status");
        let ttl: i64 = status.strip_prefix("taskgate; hit; ttl=").unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&ttl), "{status}");
        assert_eq!(answer.expect("cache-control"), "private, no-cache");
        assert_eq!(answer.header("retry-after"), None, "there is nothing to wait for");
    }
    assert_eq!(upstream.times().iter().filter(|(_, path)| path == "/v1/tasks/done").count(), 1);
}

#[tokio::test]
async fn the_first_client_leaving_at_once_disturbs_nobody() {
    let (reply, hold) = Reply::json(LIVE).held();
    let upstream = Upstream::always(reply).await;
    let gateway = gateway(&upstream, &[]).await;
    let mut leader = TcpStream::connect(gateway.address).await.unwrap();
    leader.write_all(b"GET /v1/tasks/one HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    upstream.asked(1).await;
    socket2::SockRef::from(&leader).set_linger(Some(Duration::ZERO)).unwrap();
    drop(leader);
    until_metric(gateway.admin, "taskgate_connections_open{listener=\"main\"}", 0).await;
    let mut crowd = JoinSet::new();
    for _ in 0..50 {
        let address = gateway.address;
        crowd.spawn(async move { get(address, "/v1/tasks/one").await });
    }
    until_metric(gateway.admin, ACCEPTED, 51).await;
    drop(hold);
    for answer in crowd.join_all().await {
        assert_eq!((answer.status, answer.text().as_str()), (200, LIVE));
    }
    assert_eq!(upstream.count(), 1, "the flight its client left behind answered them");
}

#[tokio::test]
async fn live_answers_say_when_to_come_back() {
    let upstream = Upstream::always(Reply::json(LIVE)).await;
    let gateway = gateway(&upstream, &[("polling.fresh_for", "4s")]).await;
    let answer = get(gateway.address, "/v1/tasks/one").await;
    let seconds: u64 = answer.expect("retry-after").parse().unwrap();
    assert!((4..=5).contains(&seconds), "{seconds}");
    assert_eq!(answer.expect("cache-control"), "no-store");
    let hit = get(gateway.address, "/v1/tasks/one").await;
    assert!(hit.expect("cache-status").starts_with("taskgate; hit; ttl="));
    assert_eq!(hit.expect("etag"), answer.expect("etag"));
}
