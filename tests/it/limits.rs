//! The limits per client: honest refusals, and nobody pays for another.

use crate::support::{Reply, Upstream, exchange, gateway, get, get_with, serve};

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
async fn behind_a_trusted_proxy_each_address_is_a_client_and_nobody_else_is_believed() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let limit = ("limits.requests_per_second", "2");
    let trusting = gateway(&upstream, &[limit, ("server.trusted_proxies", "127.0.0.0/8")]).await;
    let plain = gateway(&upstream, &[limit]).await;
    let mut refused = [0; 2];
    for number in 0..12 {
        // Entries left of the proxy's own are the client's invention.
        let header = format!("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.{number}\r\n");
        for (gateway, refused) in [&trusting, &plain].into_iter().zip(&mut refused) {
            let answer = get_with(gateway.address, "/v1/tasks/a", &header).await;
            *refused += usize::from(answer.status == 429);
        }
    }
    assert_eq!(refused[0], 0, "twelve clients, one request each");
    assert!(refused[1] > 0, "one client, whatever it says it is: {refused:?}");
}

#[tokio::test]
async fn a_proxy_that_nobody_named_is_hinted_at_once() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let extra = [("TASKGATE_LIMITS__REQUESTS_PER_SECOND", "1000000")];
    let (program, address, _) = serve(&upstream.base_url(), &extra);
    let many = "GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2999);
    let last = "GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = exchange(address, format!("{many}{last}").as_bytes()).await;
    assert_eq!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200 OK").count(), 3000);
    program.signal("TERM");
    let (_, _, log) = program.end();
    assert_eq!(log.matches("server.trusted_proxies").count(), 1, "{log}");
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
