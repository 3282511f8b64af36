//! The limits per client: honest refusals, and nobody pays for another.

use crate::support::{Reply, Upstream, gateway, get};

#[tokio::test]
async fn requests_a_second_are_limited_with_an_honest_retry_after() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[("limits.requests_per_second", "3")]).await;
    for _ in 0..3 {
        assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 200);
    }
    let refused = loop {
        // A token may come back in between; not for ever, at three a second.
        let answer = get(gateway.address, "/v1/tasks/a").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "client_rate_limited"));
    let wait: u64 = refused.expect("retry-after").parse().unwrap();
    assert_eq!(wait, 1);
    tokio::time::sleep(std::time::Duration::from_secs(wait)).await;
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 200, "who obeys is let in");
    assert_eq!(get(gateway.address, "/livez").await.status, 200, "health is not limited");
}

#[tokio::test]
async fn new_ids_are_limited_and_known_ones_are_not() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[("limits.new_tasks_per_minute", "5")]).await;
    for number in 0..5 {
        assert_eq!(get(gateway.address, &format!("/v1/tasks/t{number}")).await.status, 200);
    }
    for number in 5..20 {
        let answer = get(gateway.address, &format!("/v1/tasks/t{number}")).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (429, "client_rate_limited"));
        let wait: u64 = answer.expect("retry-after").parse().unwrap();
        assert!((1..=12).contains(&wait), "{wait}");
    }
    for _ in 0..20 {
        assert_eq!(get(gateway.address, "/v1/tasks/t0").await.status, 200);
    }
    assert_eq!(upstream.count(), 5, "what is refused goes nowhere");
}
