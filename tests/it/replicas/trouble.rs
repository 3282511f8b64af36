//! What clients notice of a Redis in trouble: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::redis_server::RedisServer;
use crate::support::{Gateway, Reply, Upstream, gateway, get, until};

/// Two replicas whose clients poll without a pause, and what they got.
struct Busy {
    replicas: Vec<Gateway>,
    upstream: Upstream,
    polls: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    polling: Vec<tokio::task::JoinHandle<()>>,
}

impl Busy {
    async fn start(redis: &RedisServer) -> Self {
        let upstream =
            Upstream::start(|number, _| Reply::json(&format!(r#"{{"status":"running","n":{number}}}"#)))
                .await;
        let url = redis.url();
        let settings = [
            ("polling.fresh_for", "100ms"),
            ("polling.max_interval", "100ms"),
            ("budget.requests_per_minute", "6000"),
            ("shared.redis_url", url.as_str()),
        ];
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(gateway(&upstream, &settings).await);
        }
        let (polls, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut polling = Vec::new();
        for number in 0..20_usize {
            let address = replicas[number % 2].address;
            let (polls, is_over) = (Arc::clone(&polls), Arc::clone(&is_over));
            polling.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = get(address, &format!("/v1/tasks/t{}", number / 4)).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    polls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
        let busy = Self { replicas, upstream, polls, is_over, polling };
        busy.shares(true).await;
        busy
    }

    /// Waits until all replicas say that they share, or that they are alone.
    async fn shares(&self, shares: bool) {
        for replica in &self.replicas {
            until("readyz tells of the trouble", async || {
                let text = get(replica.admin, "/readyz").await.text();
                let is_alone = text.contains("degraded: Redis");
                assert!(is_alone || text == "ready\n", "{text}");
                (is_alone != shares).then_some(())
            })
            .await;
        }
    }

    /// Lets clients poll, and the upstream be asked, for a while: counted in polls.
    async fn goes_on(&self) {
        let (polls, asked) = (self.polls.load(Ordering::Relaxed), self.upstream.count());
        until("clients poll on, and states are refreshed", async || {
            let has_polled = self.polls.load(Ordering::Relaxed) > polls + 200;
            (has_polled && self.upstream.count() > asked + 5).then_some(())
        })
        .await;
    }

    /// No client got an error.
    async fn end(self) {
        self.goes_on().await;
        self.is_over.store(true, Ordering::Relaxed);
        for polling in self.polling {
            polling.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_redis_is_killed_and_started_again() {
    let Some(mut redis) = RedisServer::start() else { return };
    let busy = Busy::start(&redis).await;
    busy.goes_on().await;
    redis.kill();
    busy.shares(false).await;
    busy.goes_on().await;
    redis.run_again();
    busy.shares(true).await;
    busy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_redis_is_paused() {
    let Some(redis) = RedisServer::start() else { return };
    let busy = Busy::start(&redis).await;
    redis.signal("STOP");
    busy.shares(false).await;
    busy.goes_on().await;
    redis.signal("CONT");
    busy.shares(true).await;
    busy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_redis_is_flushed_or_its_keys_are_of_wrong_types() {
    let Some(redis) = RedisServer::start() else { return };
    let busy = Busy::start(&redis).await;
    let mut command = redis.command().unwrap();
    for _ in 0..3 {
        busy.goes_on().await;
        redis::cmd("FLUSHALL").exec(&mut command).unwrap();
    }
    let keys: Vec<String> = until("keys are there", async || {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis.command().unwrap()).unwrap();
        (keys.len() > 3).then_some(keys)
    })
    .await;
    for key in keys {
        redis::pipe().del(&key).rpush(&key, "wrong").exec(&mut command).unwrap();
    }
    busy.shares(false).await;
    busy.goes_on().await;
    redis::cmd("FLUSHALL").exec(&mut command).unwrap();
    busy.shares(true).await;
    busy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_redis_is_full_or_read_only() {
    let Some(redis) = RedisServer::start() else { return };
    let busy = Busy::start(&redis).await;
    let mut command = redis.command().unwrap();
    for (trouble, cure) in [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
    ] {
        let run = |words: [&str; 4], command: &mut redis::Connection| {
            redis::cmd(words[0]).arg(&words[1..]).exec(command).unwrap();
        };
        run(trouble, &mut command);
        busy.shares(false).await;
        busy.goes_on().await;
        run(cure, &mut command);
        busy.shares(true).await;
    }
    busy.end().await;
}
