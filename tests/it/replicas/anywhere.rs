//! What a client may do at one replica, it may do at any: credentials, a cancellation, a purge.

use serde_json::json;
use taskgate::core::hex::encode as hex;
use taskgate::core::token::hash;
use tempfile::TempDir;

use super::redis_server::RedisServer;
use super::three::{done, live, three};
use crate::access::{HS256, SECRET, TOKEN, bearer, jwt, soon};
use crate::support::{Events, Gateway, Reply, Seen, Upstream, get, get_with, request, until};

/// Three that know one token and one secret, and cancel.
async fn three_protected(upstream: &Upstream, redis: &RedisServer) -> ([Gateway; 3], TempDir) {
    let files = tempfile::tempdir().unwrap();
    let (tokens, secrets) = (files.path().join("tokens"), files.path().join("secrets"));
    std::fs::write(&tokens, format!("program {}\n", hex(&hash(TOKEN)))).unwrap();
    std::fs::write(&secrets, SECRET).unwrap();
    let extra = [
        ("access.mode", "protected"),
        ("access.allow_cancel", "true"),
        ("access.token_file", tokens.to_str().unwrap()),
        ("access.ticket_secret_file", secrets.to_str().unwrap()),
    ];
    (three(upstream, redis, &extra).await, files)
}

#[tokio::test]
async fn a_ticket_and_a_token_are_good_at_any_replica_and_one_for_other_tasks_at_none() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream = Upstream::start(|_, _| done()).await;
    let (replicas, _files) = three_protected(&upstream, &redis).await;
    let ticket = bearer(&jwt(SECRET, HS256, &json!({"tasks": ["mine"], "exp": soon(600.0)})));
    for replica in &replicas {
        for (credentials, id, status) in [
            (&ticket, "mine", 200),
            (&ticket, "theirs", 403),
            (&bearer(TOKEN), "mine", 200),
            (&bearer(TOKEN), "theirs", 200),
            (&String::new(), "mine", 401),
        ] {
            let answer = get_with(replica.address, &format!("/v1/tasks/{id}"), credentials).await;
            assert_eq!(answer.status, status, "{id}: {}", answer.text());
        }
    }
    assert_eq!(upstream.count(), 2, "a request for each task");
}

/// The flight of another replica, which lands later, had said that the task still runs.
#[tokio::test]
async fn a_cancellation_by_one_replica_ends_the_task_on_all_whatever_is_under_way() {
    let Some(redis) = RedisServer::start() else { return };
    let (late, hold) = live(1).held();
    let upstream = Upstream::start(move |number, request| {
        if request.starts_with("DELETE") {
            Reply::json(r#"{"status":"cancelled"}"#)
        } else if number == 0 {
            late.clone()
        } else {
            live(2)
        }
    })
    .await;
    let ([a, b, c], _files) = three_protected(&upstream, &redis).await;
    let token = bearer(TOKEN);
    let mut watches = Vec::new();
    for replica in [&a, &b, &c] {
        watches.push(Events::open(replica.address, "/v1/tasks/t", &token).await);
        upstream.asked(1).await;
    }
    let cancelled = request(b.address, "DELETE", "/v1/tasks/t", &token).await;
    assert_eq!((cancelled.status, cancelled.text().contains("cancelled")), (200, true));
    drop(hold);
    for mut watch in watches {
        let mut seen = Vec::new();
        loop {
            match watch.next().await {
                Seen::End => break,
                Seen::Event { data, .. } => seen.push(data),
                Seen::Comment | Seen::Retry(_) => {}
            }
        }
        let ends = seen.iter().filter(|data| data.contains("cancelled")).count();
        assert!(ends == 1 && seen.last().unwrap().contains("cancelled"), "{seen:?}");
    }
    let asked = upstream.count();
    for replica in [&a, &b, &c] {
        assert!(get_with(replica.address, "/v1/tasks/t", &token).await.text().contains("cancelled"));
    }
    assert_eq!(upstream.count(), asked, "the end needs no request");
}

#[tokio::test]
async fn a_purge_by_one_replica_is_seen_on_all() {
    let Some(redis) = RedisServer::start() else { return };
    let upstream =
        Upstream::start(|number, _| Reply::json(&format!(r#"{{"status":"completed","n":{number}}}"#))).await;
    let [a, b, c] = three(&upstream, &redis, &[]).await;
    for (round, by) in [&b, &c, &a].into_iter().enumerate() {
        for replica in [&a, &b, &c] {
            let state = format!(r#"{{"status":"completed","n":{round}}}"#);
            until("all have the state of this round", async || {
                (get(replica.address, "/v1/tasks/t").await.text() == state).then_some(())
            })
            .await;
        }
        assert_eq!(upstream.count(), round + 1);
        assert_eq!(request(by.admin, "DELETE", "/cache/v1/tasks/t", "").await.status, 204);
    }
}
