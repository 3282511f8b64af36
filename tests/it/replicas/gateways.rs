//! Three gateways with one key: what clients see, and what the upstream is asked.

use std::time::{Duration, Instant};

use super::redis_server::RedisServer;
use super::three::{done, live, replica, three};
use crate::support::{Events, Reply, Seen, Upstream, get, get_with, request, serve, until, until_metric};

const REFRESH: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_thousand_polls_of_one_task_over_three_replicas_cost_one_request_a_refresh() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|number, _| live(number)).await;
    let replicas = three(&upstream, &redis, &[]).await;
    let mut polls = Vec::new();
    for number in 0..1000 {
        let address = replicas[number % 3].address;
        polls.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(3 * number as u64)).await;
            get(address, "/v1/tasks/one").await
        }));
    }
    for poll in polls {
        let answer = poll.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let times: Vec<Instant> = upstream.times().into_iter().map(|(at, _)| at).collect();
    assert!(times.len() >= 2, "a refresh follows the first");
    for pair in times.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= REFRESH.mul_f64(0.95), "two requests within {apart:?}, {} in all", times.len());
    }
}

#[tokio::test]
async fn a_429_that_one_replica_gets_stops_the_others() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|number, _| match number {
        0 => Reply::new(429, "Retry-After: 3\r\n", "{}"),
        _ => done(),
    })
    .await;
    let [a, b, c] = three(&upstream, &redis, &[("polling.patience", "0s")]).await;
    until("the upstream refuses", async || {
        let refused = get(a.address, "/v1/tasks/t0").await;
        assert_eq!(refused.status, 429);
        (upstream.count() == 1).then_some(())
    })
    .await;
    let closed = upstream.times()[0].0;
    // Whatever the others are asked, they send nothing before its time, and then go on.
    until("the upstream is asked again", async || {
        for (number, replica) in [&a, &b, &c].into_iter().enumerate() {
            let answer = get(replica.address, &format!("/v1/tasks/t{number}")).await;
            assert!([200, 429].contains(&answer.status), "{}", answer.text());
        }
        (upstream.count() > 1).then_some(())
    })
    .await;
    let apart = upstream.times()[1].0 - closed;
    assert!(apart >= Duration::from_secs(3), "asked {apart:?} after the 429");
}

#[tokio::test]
async fn the_end_reaches_watchers_of_all_replicas_once() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|number, _| if number < 2 { live(number) } else { done() }).await;
    let replicas = three(&upstream, &redis, &[]).await;
    let mut watches = Vec::new();
    for replica in replicas.iter().cycle().take(9) {
        watches.push(Events::open(replica.address, "/v1/tasks/watched", "").await);
    }
    let watching = watches.into_iter().map(|mut events| {
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                match events.next().await {
                    Seen::End => return seen,
                    Seen::Event { data, .. } => seen.push(data),
                    Seen::Comment | Seen::Retry(_) => {}
                }
            }
        })
    });
    let watching: Vec<_> = watching.collect();
    for watch in watching {
        let seen = watch.await.unwrap();
        let ends = seen.iter().filter(|data| data.contains("completed")).count();
        assert!(ends == 1 && seen.last().unwrap().contains("completed"), "{seen:?}");
    }
    assert_eq!(upstream.count(), 3, "one request for each state");
}

#[tokio::test]
async fn the_dashboard_shows_what_replicas_share() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|_, _| done()).await;
    let [here, there, _] = three(&upstream, &redis, &[]).await;
    get(here.address, "/v1/tasks/shown").await;
    get(there.address, "/v1/tasks/shown").await;
    let shown = until("all three are seen", async || {
        let mut events = Events::open(there.admin, "/events", "").await;
        let figures: serde_json::Value = serde_json::from_str(Events::data(&events.next().await)).unwrap();
        (figures["sharing"]["replicas"] == 3).then(|| figures["sharing"].clone())
    })
    .await;
    assert_eq!((&shown["taken"], &shown["failed"]), (&1.into(), &0.into()), "{shown}");
    assert!(shown["calls"].as_u64() >= Some(2) && shown["mean_ms"].as_f64() > Some(0.0), "{shown}");
    drop(redis);
    until("it is alone", async || {
        let mut events = Events::open(there.admin, "/events", "").await;
        let figures: serde_json::Value = serde_json::from_str(Events::data(&events.next().await)).unwrap();
        (figures["sharing"]["replicas"] == 0 && figures["health"]["headline"] == "This replica is alone")
            .then_some(())
    })
    .await;
}

/// A page that reconnects through a balancer may come to a replica that has an earlier state, and does not follow the task.
#[tokio::test]
async fn at_another_replica_no_earlier_state_is_told() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|number, _| if number < 2 { live(number) } else { done() }).await;
    let [here, there, _] = three(&upstream, &redis, &[]).await;
    assert!(get(there.address, "/v1/tasks/moved").await.text().contains("running"));
    let mut events = Events::open(here.address, "/v1/tasks/moved", "").await;
    let tag = loop {
        if let Seen::Event { id, data, .. } = events.next().await
            && data.contains("completed")
        {
            break id;
        }
    };
    // It has seen the end: there is nothing more.
    let seen = format!("Last-Event-ID: {tag}\r\nAccept: text/event-stream\r\n");
    let again = get_with(there.address, "/v1/tasks/moved", &seen).await;
    assert_eq!(again.status, 204, "{}", again.text());
    assert_eq!(upstream.count(), 3);
}

/// The same for tasks that go on, by each way of watching.
#[tokio::test]
async fn at_another_replica_a_watch_goes_on_where_it_was() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|number, _| live(number)).await;
    let [here, there, _] = three(&upstream, &redis, &[]).await;
    let number = |body: &str| -> usize {
        let digits = body.rsplit("\"n\":").next().unwrap();
        digits.trim_end_matches(['}', ']', '\n']).parse().unwrap()
    };
    for way in ["stream", "list", "long-poll"] {
        let path = format!("/v1/tasks/{way}");
        let early = number(&get(there.address, &path).await.text());
        let mut events = Events::open(here.address, &path, "").await;
        let seen = loop {
            if let Seen::Event { data, .. } = events.next().await
                && number(&data) > early
            {
                break number(&data);
            }
        };
        drop(events);
        let told = if way == "long-poll" {
            get_with(there.address, &path, "Prefer: wait=5\r\n").await.text()
        } else {
            let path = if way == "list" { format!("/v1/tasks?id={way}") } else { path };
            let mut events = Events::open(there.address, &path, "").await;
            loop {
                if let Seen::Event { data, .. } = events.next().await {
                    break data;
                }
            }
        };
        let told = number(told.split("},\"cache").next().unwrap());
        assert!(told >= seen, "{way}: {told} after {seen}");
    }
}

#[tokio::test]
async fn an_end_outlives_every_replica_and_a_purge_reaches_all() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|_, _| done()).await;
    {
        let first = replica(&upstream, &redis, &[]).await;
        assert_eq!(get(first.address, "/v1/tasks/done").await.status, 200);
    }
    let [a, b, c] = three(&upstream, &redis, &[]).await;
    for replica in [&a, &b, &c] {
        assert_eq!(get(replica.address, "/v1/tasks/done").await.status, 200);
    }
    assert_eq!(upstream.count(), 1, "nobody asks again");
    let purged = request(b.admin, "DELETE", "/cache/v1/tasks/done", "").await;
    assert_eq!(purged.status, 204);
    for replica in [&a, &c] {
        until("the purge is known", async || {
            let answer = get(replica.address, "/v1/tasks/done").await;
            assert_eq!(answer.status, 200);
            (upstream.count() == 2).then_some(())
        })
        .await;
    }
    assert_eq!(get(b.address, "/v1/tasks/done").await.status, 200);
    assert_eq!(upstream.count(), 2, "one request after the purge");
}

#[tokio::test]
async fn the_task_of_a_replica_that_is_killed_in_mid_flight_is_asked_again() {
    let Some(redis) = RedisServer::start() else { return };
    let (held, _hold) = done().held();
    let upstream = Upstream::start(move |number, _| if number == 0 { held.clone() } else { done() }).await;
    let url = redis.url();
    let (killed, address, admin) =
        serve(&upstream.base_url(), &[("TASKGATE_SHARED__REDIS_URL", url.as_str())]);
    until("it shares", async || (get(admin, "/readyz").await.text() == "ready\n").then_some(())).await;
    let survivor = replica(&upstream, &redis, &[]).await;
    // Its connection ends with the process.
    let _lost = Events::open(address, "/v1/tasks/lost", "").await;
    upstream.asked(1).await;
    let mut watch = Events::open(survivor.address, "/v1/tasks/lost", "").await;
    let plain = survivor.address;
    let plain = tokio::spawn(async move { get(plain, "/v1/tasks/lost").await });
    // The lease would be over by now, and its holder lives.
    until_metric(admin, r#"taskgate_shared_calls_total{call="renew",outcome="ok"}"#, 4).await;
    assert_eq!(upstream.count(), 1);
    killed.signal("KILL");
    let answer = plain.await.unwrap();
    assert_eq!(answer.status, 200, "with default time-outs: {}", answer.text());
    loop {
        match watch.next().await {
            Seen::Event { data, .. } if data.contains("completed") => break,
            Seen::End => panic!("the end is missed"),
            Seen::Event { .. } | Seen::Comment | Seen::Retry(_) => {}
        }
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn behind_a_closed_gate_a_new_replica_knows_what_the_others_know() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|_, request| {
        if request.contains("done") { done() } else { Reply::new(429, "Retry-After: 60\r\n", "{}") }
    })
    .await;
    let first = replica(&upstream, &redis, &[]).await;
    assert_eq!(get(first.address, "/v1/tasks/done").await.status, 200);
    assert_eq!(get(first.address, "/v1/tasks/other").await.status, 429);
    let second = replica(&upstream, &redis, &[]).await;
    // It finds the gate closed, and is asked about what it has never seen.
    assert_eq!(get(second.address, "/v1/tasks/other").await.status, 429);
    assert_eq!(get(second.address, "/v1/tasks/done").await.status, 200);
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn an_address_may_name_tls_a_user_a_password_and_a_database() {
    let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
    let file = |name: &str| files.join(name).to_str().unwrap().to_owned();
    let (certificate, key, ca) = (file("localhost.pem"), file("localhost.key"), file("ca.pem"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tls_port = port.to_string();
    let with_tls = ["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let with_ca = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
    let with_user = ["--user", "me", "on", ">hunter2", "~*", "&*", "+@all"];
    let Some(redis) = RedisServer::with(&[&with_tls[..], &with_ca, &with_user].concat()) else { return };
    let upstream = Upstream::start(|_, _| done()).await;
    let url = format!("rediss://me:hunter2@localhost:{port}/3");
    let (program, address, admin) = serve(
        &upstream.base_url(),
        &[("TASKGATE_SHARED__REDIS_URL", url.as_str()), ("SSL_CERT_FILE", ca.as_str())],
    );
    until("it shares", async || (get(admin, "/readyz").await.text() == "ready\n").then_some(())).await;
    assert_eq!(get(address, "/v1/tasks/done").await.status, 200);
    let mut command = redis.command().unwrap();
    redis::cmd("SELECT").arg(3).exec(&mut command).unwrap();
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("{taskgate:default:*:task:*done").query(&mut command).unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    // A wrong password is told with its cure, and not shown.
    let wrong = url.replace("hunter2", "hunter3");
    let (other, _, admin) = serve(
        &upstream.base_url(),
        &[("TASKGATE_SHARED__REDIS_URL", wrong.as_str()), ("SSL_CERT_FILE", ca.as_str())],
    );
    let told = until("it tells why it is alone", async || {
        let text = get(admin, "/readyz").await.text();
        text.contains("is alone").then_some(text)
    })
    .await;
    assert!(told.contains("user or password in shared.redis_url is wrong"), "{told}");
    let logs = program.killed() + &other.killed();
    assert!(logs.contains("is wrong") && !logs.contains("hunter"), "{logs}");
}
