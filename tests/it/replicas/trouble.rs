//! What clients notice of a Redis in trouble: nothing.

use super::busy::Busy;
use super::redis_server::RedisServer;
use super::wire::{Fate, Wire};
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_redis_is_killed_and_started_again() {
    let Some(mut redis) = RedisServer::start() else { return };
    let busy = Busy::start(&redis.url()).await;
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
    let busy = Busy::start(&redis.url()).await;
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
    let busy = Busy::start(&redis.url()).await;
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
    let busy = Busy::start(&redis.url()).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_nothing_arrives_at_redis_or_that_all_comes_late() {
    let Some(redis) = RedisServer::start() else { return };
    let wire = Wire::to(redis.address()).await;
    let busy = Busy::start(&wire.url()).await;
    for fate in [Fate::Vanish, Fate::Late] {
        wire.becomes(fate);
        busy.shares(false).await;
        busy.goes_on().await;
        wire.becomes(Fate::Pass);
        busy.shares(true).await;
        busy.goes_on().await;
    }
    busy.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_connections_to_redis_break_in_the_middle_of_answers() {
    let Some(redis) = RedisServer::start() else { return };
    let wire = Wire::to(redis.address()).await;
    let busy = Busy::start(&wire.url()).await;
    for _ in 0..3 {
        wire.becomes(Fate::Break);
        busy.shares(false).await;
        busy.goes_on().await;
        wire.becomes(Fate::Pass);
        busy.shares(true).await;
    }
    busy.end().await;
}

/// The looks and the states themselves bring what the hints would have brought.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_that_no_hint_comes_through() {
    let Some(redis) = RedisServer::start() else { return };
    let wire = Wire::to(redis.address()).await;
    let busy = Busy::start(&wire.url()).await;
    wire.becomes(Fate::Unsubscribe);
    let mut command = redis.command().unwrap();
    until("nobody listens", async || {
        let channels: Vec<String> = redis::cmd("PUBSUB").arg("CHANNELS").query(&mut command).unwrap();
        channels.is_empty().then_some(())
    })
    .await;
    busy.goes_on().await;
    busy.shares(true).await;
    busy.goes_on().await;
    busy.end().await;
}
