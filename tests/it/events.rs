//! Server-sent events over sockets: one task, every clause of the contract.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::support::{
    End, Events, QUICK, Reply, Seen, Upstream, gateway, get, get_with, until, until_metric, until_stale,
};

/// Each state twice in a row: an unchanged answer is no event.
fn progress(number: usize) -> Reply {
    match number / 2 {
        3.. => Reply::json("{\"status\":\"completed\",\r\n \"n\":3}"),
        step => Reply::json(&format!(r#"{{"status":"processing","n":{step}}}"#)),
    }
}

#[tokio::test]
async fn the_current_state_first_then_every_change_once_then_the_end() {
    let upstream = Upstream::start(|number, _| progress(number)).await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    assert_eq!(events.status, 200);
    for header in
        ["content-type: text/event-stream", "cache-control: no-store, no-transform", "x-accel-buffering: no"]
    {
        assert!(events.head.contains(header), "{header} in {}", events.head);
    }
    let mut tags = Vec::new();
    for step in 0..4 {
        let seen = events.next().await;
        let Seen::Event { name, id, data } = &seen else { panic!("{seen:?}") };
        assert_eq!(name, "", "unnamed, so that onmessage gets it");
        let expected = match step {
            3 => "{\"status\":\"completed\",\n \"n\":3}".to_owned(),
            step => format!(r#"{{"status":"processing","n":{step}}}"#),
        };
        assert_eq!(*data, expected);
        tags.push(id.clone());
    }
    assert_eq!(events.next().await, Seen::End, "the server closes after the terminal event");
    let plain = get(gateway.address, "/v1/tasks/a").await;
    assert_eq!(plain.expect("etag"), tags[3], "the id is the ETag");
    let header = format!("Last-Event-ID: {}\r\nAccept: text/event-stream\r\n", tags[3]);
    let again = get_with(gateway.address, "/v1/tasks/a", &header).await;
    assert_eq!((again.status, again.body.len()), (204, 0), "which ends EventSource");
    // Replacements of EventSource that may not set the header.
    let encoded = tags[3].replace('"', "%22");
    for parameter in ["lastEventId", "Last-Event-ID"] {
        for path in [format!("/v1/tasks/a?{parameter}={encoded}"), format!("/v1/tasks?id=a&{parameter}=end")]
        {
            let again = get_with(gateway.address, &path, "Accept: text/event-stream\r\n").await;
            assert_eq!(again.status, 204, "{path}");
        }
    }
    assert_eq!(upstream.count(), 7, "nobody asks about what is over");
}

#[tokio::test]
async fn a_reconnect_is_told_only_what_it_has_not_seen() {
    let upstream =
        Upstream::start(|number, _| Reply::json(if number < 8 { r#"{"n":0}"# } else { r#"{"n":1}"# })).await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let Seen::Event { id, .. } = events.next().await else { panic!() };
    drop(events);
    let mut events = Events::open(gateway.address, "/v1/tasks/a", &format!("Last-Event-ID: {id}\r\n")).await;
    assert_eq!(Events::data(&events.next().await), r#"{"n":1}"#, "not n 0 again");
    let mut fresh = Events::open(gateway.address, "/v1/tasks/a", "Last-Event-ID: \"unknown\"\r\n").await;
    assert_eq!(Events::data(&fresh.next().await), r#"{"n":1}"#);
}

#[tokio::test]
async fn trouble_is_told_once_and_the_stream_carries_on() {
    let upstream = Upstream::start(|number, _| match number {
        0 => Reply::json(r#"{"n":0}"#),
        1 | 2 => Reply::new(503, "", "{}"),
        3 => Reply::new(200, "", "no JSON"),
        _ => Reply::json(r#"{"n":0}"#),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    assert_eq!(Events::data(&events.next().await), r#"{"n":0}"#);
    for code in ["upstream_error", "upstream_invalid_response"] {
        let seen = events.next().await;
        let Seen::Event { name, data, .. } = &seen else { panic!("{seen:?}") };
        let envelope: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!((name.as_str(), envelope["error"]["code"].as_str().unwrap()), ("trouble", code));
        assert_eq!(envelope["error"]["type"], "gateway_error");
    }
    assert_eq!(Events::data(&events.next().await), r#"{"n":0}"#, "told again: the trouble is over");
}

#[tokio::test]
async fn a_stream_that_begins_in_trouble_is_200_all_the_same() {
    let upstream = Upstream::always(Reply::raw("", End::Reset)).await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    assert_eq!(events.status, 200);
    let seen = events.next().await;
    assert!(matches!(&seen, Seen::Event { name, .. } if name == "trouble"), "{seen:?}");
}

#[tokio::test]
async fn a_refusal_is_trouble_and_the_stream_goes_on() {
    let upstream = Upstream::start(|number, _| match number {
        0 | 1 => Reply::new(403, "", r#"{"detail":"User is locked"}"#),
        _ => Reply::json(r#"{"status":"completed"}"#),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let seen = events.next().await;
    let Seen::Event { name, data, .. } = &seen else { panic!("{seen:?}") };
    assert!(name == "trouble" && data.contains(r#""code":"upstream_refused""#), "{seen:?}");
    assert_eq!(Events::data(&events.next().await), r#"{"status":"completed"}"#);
    assert_eq!(events.next().await, Seen::End);
}

#[tokio::test]
async fn a_task_that_stays_missing_is_gone() {
    let body = r#"{"error":{"code":"async_task_not_found"}}"#;
    let upstream = Upstream::always(Reply::new(404, "", body)).await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    assert_eq!(events.status, 200);
    let seen = events.next().await;
    let Seen::Event { name, id, data } = &seen else { panic!("{seen:?}") };
    assert_eq!((name.as_str(), data.as_str()), ("gone", body));
    assert_eq!(upstream.count(), 3, "three times in a row");
    assert_eq!(events.next().await, Seen::End);
    let header = format!("Last-Event-ID: {id}\r\nAccept: text/event-stream\r\n");
    assert_eq!(get_with(gateway.address, "/v1/tasks/a", &header).await.status, 204);
}

#[tokio::test]
async fn a_404_right_after_the_create_is_not_the_end() {
    let upstream = Upstream::start(|number, _| match number {
        0 | 1 => Reply::new(404, "", r#"{"error":{}}"#),
        _ => Reply::json(r#"{"status":"completed"}"#),
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    assert_eq!(Events::data(&events.next().await), r#"{"status":"completed"}"#);
    assert_eq!(events.next().await, Seen::End);
}

#[tokio::test]
async fn a_finished_state_past_its_time_is_shown_when_the_upstream_is_down() {
    let upstream = Upstream::start(|number, _| match number {
        0 => Reply::json(r#"{"status":"completed"}"#),
        _ => Reply::raw("", End::Reset),
    })
    .await;
    let settings = [QUICK, &[("cache.terminal_ttl", "100ms")]].concat();
    let gateway = gateway(&upstream, &settings).await;
    get(gateway.address, "/v1/tasks/a").await;
    until("the upstream is asked again", async || {
        let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
        assert_eq!(Events::data(&events.next().await), r#"{"status":"completed"}"#);
        assert_eq!(events.next().await, Seen::End);
        (upstream.count() > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_has_seen_the_end_is_not_kept_by_an_expired_state() {
    let upstream = Upstream::always(Reply::json(r#"{"status":"completed"}"#)).await;
    let gateway = gateway(&upstream, &[QUICK, &[("cache.terminal_ttl", "10ms")]].concat()).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    let Seen::Event { id, .. } = events.next().await else { panic!() };
    // The state is only fresh for a moment; a browser comes back later than that.
    until_stale(gateway.address, &upstream, "/v1/tasks/clock", "").await;
    let header = format!("Last-Event-ID: {id}\r\nAccept: text/event-stream\r\n");
    assert_eq!(get_with(gateway.address, "/v1/tasks/a", &header).await.status, 204);
    assert_eq!(upstream.times().iter().filter(|(_, path)| path == "/v1/tasks/a").count(), 1);
}

#[tokio::test]
async fn a_silent_stream_shows_signs_of_life() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let settings = [QUICK, &[("polling.heartbeat", "200ms")]].concat();
    let gateway = gateway(&upstream, &settings).await;
    let mut events = Events::open(gateway.address, "/v1/tasks/a", "").await;
    events.next().await;
    for _ in 0..3 {
        assert_eq!(events.next_or_comment().await, Seen::Comment);
    }
}

#[tokio::test]
async fn streams_end_with_a_retry() {
    let upstream = Upstream::always(Reply::json("{}")).await;
    let crowded = gateway(&upstream, &[QUICK, &[("limits.max_streams", "2")]].concat()).await;
    let mut first = Events::open(crowded.address, "/v1/tasks/a", "").await;
    let second = Events::open(crowded.address, "/v1/tasks/b", "").await;
    let mut third = Events::open(crowded.address, "/v1/tasks/c", "").await;
    let retry = |seen: Seen| matches!(seen, Seen::Retry(wait) if (1000..5000).contains(&wait));
    assert_eq!(third.status, 200);
    assert!(retry(third.next().await), "too many streams");
    assert_eq!(third.next().await, Seen::End);
    drop(second);
    until_metric(crowded.admin, "taskgate_streams_open", 1).await;
    let mut fourth = Events::open(crowded.address, "/v1/tasks/d", "").await;
    for stream in [&mut first, &mut fourth] {
        assert_eq!(Events::data(&stream.next().await), "{}", "there is room for it");
    }
    crowded.lifecycle.stop();
    for mut stream in [first, fourth] {
        assert!(retry(stream.next().await), "the process stops");
        assert_eq!(stream.next().await, Seen::End);
    }
    let brief = gateway(&upstream, &[QUICK, &[("polling.max_stream", "1s")]].concat()).await;
    let mut stream = Events::open(brief.address, "/v1/tasks/a", "").await;
    assert_eq!(Events::data(&stream.next().await), "{}");
    assert!(retry(stream.next().await), "open for max_stream");
    assert_eq!(stream.next().await, Seen::End);
}

#[tokio::test]
async fn a_thousand_watchers_are_one_interest() {
    let upstream = Upstream::start(|number, _| {
        Reply::json(&if number < 10 {
            format!(r#"{{"n":{number}}}"#)
        } else {
            r#"{"status":"failed"}"#.to_owned()
        })
    })
    .await;
    let gateway = gateway(&upstream, QUICK).await;
    let mut watchers = JoinSet::new();
    for _ in 0..1000 {
        let address = gateway.address;
        watchers.spawn(async move {
            let mut events = Events::open(address, "/v1/tasks/a", "").await;
            let mut last = String::new();
            loop {
                match events.next().await {
                    Seen::Event { data, .. } => {
                        assert_ne!(data, last, "every change once");
                        last = data;
                    }
                    Seen::End => return last,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    for last in watchers.join_all().await {
        assert_eq!(last, r#"{"status":"failed"}"#, "nobody misses the end");
    }
    assert_eq!(upstream.count(), 11);
}

#[tokio::test]
async fn a_reader_that_stops_is_dropped_and_delays_nobody() {
    let filler = "x".repeat(200_000);
    let upstream =
        Upstream::start(move |number, _| Reply::json(&format!(r#"{{"n":{number},"filler":"{filler}"}}"#)))
            .await;
    const STALL: Duration = Duration::from_secs(3);
    let settings = [QUICK, &[("server.write_stall_timeout", "3s")]].concat();
    let gateway = gateway(&upstream, &settings).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut sleeper = socket.connect(gateway.address).await.unwrap();
    sleeper
        .write_all(b"GET /v1/tasks/a HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        .await
        .unwrap();
    let mut reader = Events::open(gateway.address, "/v1/tasks/a", "").await;
    until_metric(gateway.admin, "taskgate_streams_open", 2).await;
    let mut gaps = Vec::new();
    let read = async {
        loop {
            let before = Instant::now();
            assert!(matches!(reader.next().await, Seen::Event { .. }), "the reader stays");
            gaps.push(before.elapsed());
        }
    };
    tokio::select! {
        () = read => {}
        () = until_metric(gateway.admin, "taskgate_streams_open", 1) => {}
    }
    // A reader that the sleeper delays is delayed until the sleeper is given up.
    assert!(gaps.iter().max().unwrap() < &STALL, "{gaps:?}");
    assert!(matches!(reader.next().await, Seen::Event { .. }), "and it goes on");
    // Bytes that the kernel had taken for the sleeper may still come; then the connection is found closed.
    let mut rest = Vec::new();
    let rest = tokio::io::AsyncReadExt::read_to_end(&mut sleeper, &mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(30), rest).await.expect("still open");
}

/// Firefox and some proxies show nothing before the first byte.
#[tokio::test]
async fn every_stream_begins_with_a_comment_at_once() {
    let upstream = Upstream::always(Reply::raw("", End::Hang)).await;
    let gateway = gateway(&upstream, &[QUICK, &[("limits.max_streams", "2")]].concat()).await;
    let mut held = Vec::new();
    for path in ["/v1/tasks/a", "/v1/tasks?id=a&id=b"] {
        let mut events = Events::open(gateway.address, path, "").await;
        assert_eq!(events.next_or_comment().await, Seen::Comment, "{path}");
        held.push(events);
    }
    let mut one_too_many = Events::open(gateway.address, "/v1/tasks/a", "").await;
    assert_eq!(one_too_many.next_or_comment().await, Seen::Comment);
    assert!(matches!(one_too_many.next_or_comment().await, Seen::Retry(_)));
}
