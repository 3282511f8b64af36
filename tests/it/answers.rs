//! The table "what becomes of an upstream answer", row by row, with nothing known and with a known state.

use std::time::{Duration, Instant};

use crate::support::{Answer, EAGER, End, Events, Gateway, Reply, Seen, Upstream, gateway, get, until};

const KNOWN: &str = r#"{"status":"processing","progress":40}"#;
/// For an upstream that hangs. Where it answers, a busy machine may take longer.
const SHORT: &[(&str, &str)] = &[("upstream.timeout", "2s"), ("upstream.connect_timeout", "2s")];

/// A row that ends in an error of the gateway's.
struct Row {
    reply: Reply,
    status: u16,
    code: &'static str,
    forwarded: Option<u16>,
}

fn row(reply: Reply, status: u16, code: &'static str, forwarded: impl Into<Option<u16>>) -> Row {
    Row { reply, status, code, forwarded: forwarded.into() }
}

/// The settings with which the row's error comes soon.
fn settings(code: &str) -> Vec<(&'static str, &'static str)> {
    let small = &[("upstream.max_body", "64KiB")];
    let short = if code == "upstream_timeout" { SHORT } else { &[] };
    [EAGER, small, short].concat()
}

fn rows() -> Vec<Row> {
    let error = r#"{"error":{"message":"no","type":"x","code":"y"}}"#;
    let invalid = "upstream_invalid_response";
    let mut rows = vec![
        row(Reply::new(401, "", error), 502, "upstream_key_rejected", 401),
        row(Reply::new(402, "", error), 502, "upstream_quota_exhausted", 402),
        row(Reply::new(429, "Retry-After: 7\r\n", error), 429, "upstream_rate_limited", 429),
        row(Reply::new(429, "", "not even JSON"), 429, "upstream_rate_limited", 429),
        row(Reply::json(""), 502, invalid, 200),
        row(Reply::json(r#"{"status":"completed""#), 502, invalid, 200),
        row(Reply::json("<html>a proxy's page</html>"), 502, invalid, 200),
        row(Reply::json(error), 502, invalid, 200),
        row(Reply::json(r#"{"error":"no"}"#), 502, invalid, 200),
        row(Reply::json("null"), 502, invalid, 200),
        row(Reply::json(r#""completed""#), 502, invalid, 200),
        row(Reply::json("[]"), 502, invalid, 200),
        row(Reply::new(404, "", "Not Found"), 502, invalid, 404),
        row(Reply::raw("HTTP/1.1 204 No Content\r\n\r\n", End::KeepAlive), 502, invalid, 204),
        row(
            Reply::raw(
                "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\u{b}ab",
                End::Close,
            ),
            502,
            invalid,
            200,
        ),
        row(Reply::json(&format!("\"{}\"", "x".repeat(64 * 1024))), 502, invalid, 200),
        row(endless_chunks(), 502, invalid, 200),
        row(Reply::raw("", End::Close), 502, "upstream_unreachable", None),
        row(Reply::raw("", End::Reset), 502, "upstream_unreachable", None),
        row(Reply::raw("SSH-2.0-OpenSSH\r\n", End::Close), 502, "upstream_unreachable", None),
        row(
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}", End::Close),
            502,
            "upstream_unreachable",
            None,
        ),
        row(
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", End::Close),
            502,
            "upstream_unreachable",
            None,
        ),
        row(
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", End::Close),
            502,
            "upstream_unreachable",
            None,
        ),
        row(Reply::raw("", End::Hang), 504, "upstream_timeout", None),
        row(
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"status\":", End::Hang),
            504,
            "upstream_timeout",
            None,
        ),
    ];
    for code in [500, 502, 503, 504, 529] {
        rows.push(row(Reply::new(code, "Retry-After: 1\r\n", error), 502, "upstream_error", code));
    }
    for code in [300, 301, 302, 303, 304, 307, 308] {
        let location = "Location: http://127.0.0.1:9/elsewhere\r\n";
        rows.push(row(Reply::new(code, location, KNOWN), 502, invalid, code));
    }
    rows
}

fn endless_chunks() -> Reply {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..100 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.extend_from_slice(&[b' '; 0x400]);
        bytes.extend_from_slice(b"\r\n");
    }
    Reply::raw(bytes, End::Hang)
}

/// Asks until what is known is no longer fresh: the answer to the request that went upstream again.
async fn asked_anew(gateway: &Gateway, path: &str) -> Answer {
    until("no hit", async || {
        let answer = get(gateway.address, path).await;
        (!answer.expect("cache-status").contains("; hit; ")).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn with_nothing_known_each_failure_is_a_clear_error() {
    for Row { reply, status, code, .. } in rows() {
        let upstream = Upstream::always(reply.clone()).await;
        let gateway = gateway(&upstream, &settings(code)).await;
        let answer = get(gateway.address, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{reply:?}");
        let wait: u64 = answer.expect("retry-after").parse().unwrap();
        assert!(wait >= 1);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["error"]["retry_after"], wait, "body and header agree");
        assert_eq!(json["error"]["retryable"], true);
    }
}

#[tokio::test]
async fn with_a_known_state_each_failure_is_that_state_marked_stale() {
    for Row { reply, code, forwarded, .. } in rows() {
        let script = reply.clone();
        let upstream =
            Upstream::start(move |number, _| if number == 0 { Reply::json(KNOWN) } else { script.clone() })
                .await;
        let gateway = gateway(&upstream, &settings(code)).await;
        let first = get(gateway.address, "/v1/tasks/a").await;
        let answer = asked_anew(&gateway, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, KNOWN), "{reply:?}");
        assert_eq!(answer.expect("etag"), first.expect("etag"));
        let forwarded = forwarded.map_or(String::new(), |status| format!("; fwd-status={status}"));
        assert_eq!(answer.expect("cache-status"), format!("taskgate; fwd=stale{forwarded}; detail={code}"));
        assert_eq!(answer.expect("cache-control"), "no-store");
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_404_is_mirrored_and_kept_for_a_moment() {
    for code in [404, 410] {
        let body = format!(r#"{{"error":{{"message":"no {code}","code":"async_task_not_found"}}}}"#);
        let upstream = Upstream::always(Reply::new(code, "", &body)).await;
        let patient = gateway(&upstream, &[("cache.not_found_ttl", "1h")]).await;
        let answer = get(patient.address, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.text().as_str()), (code, body.as_str()));
        assert_eq!(answer.expect("cache-status"), format!("taskgate; fwd=miss; fwd-status={code}; stored"));
        assert_eq!(answer.expect("cache-control"), "no-store");
        let hit = get(patient.address, "/v1/tasks/a").await;
        let status = hit.expect("cache-status");
        let ttl: i64 = status.strip_prefix("taskgate; hit; ttl=").unwrap().parse().unwrap();
        assert!(hit.status == code && (3500..=3600).contains(&ttl), "{status}");
        assert_eq!(upstream.count(), 1);
        let brief = gateway(&upstream, &[("cache.not_found_ttl", "50ms")]).await;
        get(brief.address, "/v1/tasks/a").await;
        let again = asked_anew(&brief, "/v1/tasks/a").await;
        assert_eq!((again.status, again.text().as_str()), (code, body.as_str()));
        assert!(upstream.count() >= 3, "asked again after not_found_ttl");
    }
}

/// `403 {"detail":"User is locked"}` told every page that every task is gone.
#[tokio::test]
async fn a_refusal_is_mirrored_and_never_replaces_a_state() {
    for code in [400, 403, 405, 408, 409, 412, 422, 423, 425, 451] {
        let body = format!(r#"{{"detail":"User is locked ({code})"}}"#);
        let upstream = Upstream::always(Reply::new(code, "", &body)).await;
        let unknown = gateway(&upstream, EAGER).await;
        let answer = get(unknown.address, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.text().as_str()), (code, body.as_str()));
        assert_eq!(answer.expect("cache-status"), format!("taskgate; fwd=miss; fwd-status={code}; stored"));
        assert_eq!(answer.expect("cache-control"), "no-store");
        let upstream = Upstream::start(move |number, _| match number {
            0 => Reply::json(KNOWN),
            _ => Reply::new(code, "", &body),
        })
        .await;
        let known = gateway(&upstream, EAGER).await;
        assert_eq!(get(known.address, "/v1/tasks/a").await.text(), KNOWN);
        let answer = asked_anew(&known, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, KNOWN));
        let status = format!("taskgate; fwd=stale; fwd-status={code}; detail=upstream_refused");
        assert_eq!(answer.expect("cache-status"), status);
    }
}

/// As Replicate answers: the dead link of an input made each load of a page ask again.
#[tokio::test]
async fn a_dead_link_of_an_input_does_not_shorten_the_life_of_a_result() {
    let upstream = Upstream::always(Reply::json(
        r#"{"status":"succeeded","input":{"image":"https://in.example/i.png?Expires=1700000000&Signature=x"},"output":["https://out.example/o.mp4"]}"#,
    ))
    .await;
    let gateway = gateway(&upstream, EAGER).await;
    for number in 0..3 {
        let answer = get(gateway.address, "/v1/tasks/a").await;
        let status = answer.expect("cache-status");
        assert!(number == 0 || status.starts_with("taskgate; hit; ttl=3"), "{status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn an_answer_without_a_status_is_no_state_of_a_task_that_had_one() {
    for body in ["{}", r#"{"code":500,"message":"no"}"#, r#"{"detail":"no"}"#] {
        let upstream =
            Upstream::start(move |number, _| Reply::json(if number == 0 { KNOWN } else { body })).await;
        let gateway = gateway(&upstream, EAGER).await;
        assert_eq!(get(gateway.address, "/v1/tasks/a").await.text(), KNOWN);
        let answer = asked_anew(&gateway, "/v1/tasks/a").await;
        assert_eq!(answer.text(), KNOWN, "{body}");
        assert!(answer.expect("cache-status").ends_with("detail=upstream_invalid_response"), "{body}");
        // Where nothing was known, such an answer is all that there is.
        let upstream = Upstream::always(Reply::json(body)).await;
        let gateway = crate::support::gateway(&upstream, EAGER).await;
        assert_eq!(get(gateway.address, "/v1/tasks/a").await.text(), body);
    }
}

#[tokio::test]
async fn a_byte_order_mark_hides_no_end() {
    let body = "\u{feff}{\"status\":\"completed\"}";
    let upstream = Upstream::always(Reply::json(body)).await;
    let gateway = gateway(&upstream, EAGER).await;
    for _ in 0..2 {
        assert_eq!(get(gateway.address, "/v1/tasks/a").await.text(), body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(upstream.count(), 1, "it is finished");
    let list = get(gateway.address, "/v1/tasks?id=a").await.text();
    assert!(list.contains(r#""task":{"status":"completed"}"#), "{list}");
}

/// Every wait that an upstream names: the gate, a task's own pause, and the interval of a live one.
#[tokio::test]
async fn the_waits_that_an_upstream_names_are_heeded() {
    let wait_of = async |reply: Reply| {
        let upstream = Upstream::always(reply).await;
        let gateway = gateway(&upstream, &[]).await;
        let answer = get(gateway.address, "/v1/tasks/a").await;
        let wait: u64 = answer.expect("retry-after").parse().unwrap();
        (answer.status, wait)
    };
    for (reply, status) in [
        (Reply::new(429, "Retry-After: 39.5\r\n", "{}"), 429),
        (Reply::new(429, "retry-after-ms: 39500\r\n", "{}"), 429),
        (Reply::new(429, "X-RateLimit-Reset: 40\r\n", "{}"), 429),
        (Reply::new(429, "", r#"{"error":{"message":"slow","retry_after":40}}"#), 429),
        (Reply::new(503, "Retry-After: 40\r\n", "{}"), 502),
        (Reply::new(202, "Retry-After: 40\r\n", r#"{"status":"processing"}"#), 202),
        // Longer waits of a live task are cut.
        (Reply::new(200, "Retry-After: 4000\r\n", r#"{"status":"processing"}"#), 200),
    ] {
        let most = if status == 200 { 72 } else { 49 };
        let (got, wait) = wait_of(reply.clone()).await;
        assert!(got == status && (39..=most).contains(&wait), "{wait} s: {reply:?}");
    }
}

#[tokio::test]
async fn a_404_right_after_the_create_gives_way_to_the_task() {
    let upstream = Upstream::start(|number, _| {
        if number == 0 { Reply::new(404, "", r#"{"error":{}}"#) } else { Reply::json(KNOWN) }
    })
    .await;
    let gateway = gateway(&upstream, &[("cache.not_found_ttl", "20ms")]).await;
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 404);
    assert_eq!(asked_anew(&gateway, "/v1/tasks/a").await.text(), KNOWN);
}

#[tokio::test]
async fn an_upstream_that_breaks_off_at_any_byte_is_never_believed() {
    let whole = Reply::json(r#"{"status":"completed","video_url":"https://x.example/v.mp4"}"#).bytes;
    let length = whole.len();
    let upstream = Upstream::start(move |_, request| {
        // The path says where to break off and how: /v1/tasks/17-reset.
        let id = request.split(['/', ' ']).nth(4).unwrap();
        let (cut, how) = id.split_once('-').unwrap();
        let end = if how == "reset" { End::Reset } else { End::Close };
        Reply::raw(whole[..cut.parse::<usize>().unwrap()].to_vec(), end)
    })
    .await;
    for cut in 0..length {
        // A gateway each: this is about single answers, and many failures would open the breaker.
        let gateway = gateway(&upstream, EAGER).await;
        for how in ["reset", "close"] {
            let answer = get(gateway.address, &format!("/v1/tasks/{cut}-{how}")).await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (502, "upstream_unreachable"),
                "{cut} {how}"
            );
        }
    }
    let gateway = gateway(&upstream, EAGER).await;
    let answer = get(gateway.address, &format!("/v1/tasks/{length}-close")).await;
    assert_eq!(answer.status, 200, "the whole answer is fine, so the cuts were what mattered");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_second_host_sees_nothing() {
    let second = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    for code in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/v1/tasks/a\r\n", second.base_url());
        let upstream = Upstream::always(Reply::new(code, &location, "{}")).await;
        let gateway = gateway(&upstream, &[]).await;
        let answer = get(gateway.address, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.error_code().as_str()), (502, "upstream_invalid_response"));
        assert_eq!(answer.header("location"), None);
        assert_eq!(upstream.count(), 1);
    }
    assert_eq!(second.count(), 0);
}

#[tokio::test]
async fn a_429_closes_the_gate_for_every_task_and_loses_no_known_state() {
    let upstream = Upstream::start(|number, _| {
        if number == 0 { Reply::json(KNOWN) } else { Reply::new(429, "Retry-After: 60\r\n", "{}") }
    })
    .await;
    let settings = [EAGER, &[("polling.patience", "30s")]].concat();
    let gateway = gateway(&upstream, &settings).await;
    get(gateway.address, "/v1/tasks/known").await;
    asked_anew(&gateway, "/v1/tasks/known").await;
    assert_eq!(upstream.count(), 2);
    let start = Instant::now();
    let answer = get(gateway.address, "/v1/tasks/known").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, KNOWN));
    assert_eq!(answer.expect("cache-status"), "taskgate; hit; ttl=0; detail=upstream_rate_limited");
    let other = get(gateway.address, "/v1/tasks/other").await;
    assert_eq!((other.status, other.error_code().as_str()), (429, "upstream_rate_limited"));
    let wait: u64 = other.expect("retry-after").parse().unwrap();
    assert!((59..=74).contains(&wait), "the time it names, at most a fifth later: {wait}");
    assert!(start.elapsed() < Duration::from_secs(25), "both at once, as the gate opens after patience");
    assert_eq!(upstream.count(), 2, "nothing goes out while the gate is closed");
}

/// It shut out everybody for 30 s.
#[tokio::test]
async fn a_401_of_one_task_shuts_out_nobody() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("/bad ") {
            Reply::new(401, "", "{}")
        } else {
            Reply::json(r#"{"status":"completed"}"#)
        }
    })
    .await;
    let gateway = gateway(&upstream, &[]).await;
    assert_eq!(get(gateway.address, "/v1/tasks/bad").await.error_code(), "upstream_key_rejected");
    let start = Instant::now();
    assert_eq!(get(gateway.address, "/v1/tasks/good").await.status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // From now on the bad one is known to be alone.
    until("it is asked about again", async || {
        let answer = get(gateway.address, "/v1/tasks/bad").await;
        assert_eq!(answer.error_code(), "upstream_key_rejected");
        let asked = upstream.heard().iter().filter(|request| request.contains("/bad ")).count();
        (asked > 1).then_some(())
    })
    .await;
    assert_eq!(get(gateway.admin, "/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn a_dead_upstream_loses_no_known_state() {
    let upstream = Upstream::always(Reply::json(KNOWN)).await;
    let gateway = gateway(&upstream, EAGER).await;
    get(gateway.address, "/v1/tasks/a").await;
    let _closed = upstream.close();
    asked_anew(&gateway, "/v1/tasks/a").await;
    for _ in 0..3 {
        let answer = get(gateway.address, "/v1/tasks/a").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, KNOWN));
        assert!(answer.expect("cache-status").ends_with("; detail=upstream_unreachable"));
    }
    let other = get(gateway.address, "/v1/tasks/b").await;
    assert_eq!((other.status, other.error_code().as_str()), (502, "upstream_unreachable"));
}

#[tokio::test]
async fn a_broken_pooled_connection_is_tried_once_more() {
    // Each connection answers one request and breaks at the second: what an idle timeout looks like.
    let upstream =
        Upstream::start(
            |number, _| {
                if number % 2 == 0 { Reply::json(KNOWN) } else { Reply::raw("", End::Reset) }
            },
        )
        .await;
    let gateway = gateway(&upstream, EAGER).await;
    for number in 0..20 {
        let answer = get(gateway.address, &format!("/v1/tasks/t{number}")).await;
        assert_eq!(answer.status, 200, "request {number}: {}", answer.text());
    }
}

#[tokio::test]
async fn trouble_shows_in_readiness_but_does_not_end_it() {
    let upstream = Upstream::always(Reply::new(401, "", "{}")).await;
    let gateway: Gateway = gateway(&upstream, &[]).await;
    let ready = get(gateway.admin, "/readyz").await;
    assert_eq!((ready.status, ready.text().as_str()), (200, "ready\n"));
    get(gateway.address, "/v1/tasks/a").await;
    let ready = get(gateway.admin, "/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.text(), "degraded: the upstream rejected the gateway's API key\n");
    gateway.lifecycle.stop();
}

/// xAI says so of a task that goes on, now with words and now without.
#[tokio::test]
async fn an_accepted_without_words_is_a_live_state() {
    let upstream = Upstream::start(|number, _| match number {
        0 => Reply::new(202, "", ""),
        1 => Reply::new(202, "", r#"{"status":"pending"}"#),
        2 => Reply::new(202, "", ""),
        _ => Reply::json(r#"{"status":"completed"}"#),
    })
    .await;
    let gateway = gateway(&upstream, EAGER).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    for data in ["{}", r#"{"status":"pending"}"#, "{}", r#"{"status":"completed"}"#] {
        assert_eq!(Events::data(&events.next().await), data);
    }
    assert_eq!(events.next().await, Seen::End);
}

#[tokio::test]
async fn headers_that_no_header_may_be_are_passed_over() {
    let cookies = "Set-Cookie: ___utmv=a\u{1}b; path=/\r\n";
    let upstream = Upstream::always(Reply::new(200, cookies, KNOWN)).await;
    let gateway = gateway(&upstream, EAGER).await;
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.text(), KNOWN);
}

#[tokio::test]
async fn a_bad_answer_is_not_asked_for_twice() {
    let upstream = Upstream::always(Reply::raw("HELLO WORLD\r\n\r\n", End::Close)).await;
    let gateway = gateway(&upstream, EAGER).await;
    assert_eq!(get(gateway.address, "/v1/tasks/a").await.status, 502);
    assert_eq!(upstream.count(), 1, "only a closed connection is worth a second attempt");
}

#[tokio::test]
async fn a_request_counts_as_in_flight_until_its_body_is_read() {
    let upstream = Upstream::start(|_, request| {
        if request.contains("/slow ") {
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"status\":", End::Hang)
        } else {
            Reply::json(KNOWN)
        }
    })
    .await;
    let one_at_a_time = [
        ("upstream.max_in_flight", "1"),
        ("upstream.timeout", "3s"),
        ("upstream.connect_timeout", "3s"),
        ("polling.patience", "200ms"),
    ];
    let gateway = gateway(&upstream, &one_at_a_time).await;
    let address = gateway.address;
    let slow = tokio::spawn(async move { get(address, "/v1/tasks/slow").await });
    upstream.asked(1).await;
    let other = get(address, "/v1/tasks/other").await;
    assert_eq!((other.status, other.error_code().as_str()), (429, "budget_exhausted"));
    assert_eq!(upstream.count(), 1, "the second waits for the first one's body");
    assert_eq!(slow.await.unwrap().status, 504);
    assert_eq!(get(address, "/v1/tasks/other").await.status, 200, "and goes when that is over");
}
