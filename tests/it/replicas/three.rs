//! Owns three gateways that share, and the states of their tasks.

use super::redis_server::RedisServer;
use crate::support::{Gateway, Reply, Upstream, gateway, get, until};

const SETTINGS: &[(&str, &str)] = &[
    ("polling.fresh_for", "500ms"),
    ("polling.max_interval", "500ms"),
    ("budget.requests_per_minute", "60000"),
];

/// A gateway that shares, once it does.
pub async fn replica(upstream: &Upstream, redis: &RedisServer, extra: &[(&str, &str)]) -> Gateway {
    let url = redis.url();
    let mut settings = [SETTINGS, &[("shared.redis_url", url.as_str())]].concat();
    settings.extend_from_slice(extra);
    let replica = gateway(upstream, &settings).await;
    until("the replica is ready", async || {
        (get(replica.admin, "/readyz").await.text() == "ready\n").then_some(())
    })
    .await;
    replica
}

pub async fn three(upstream: &Upstream, redis: &RedisServer, extra: &[(&str, &str)]) -> [Gateway; 3] {
    [
        replica(upstream, redis, extra).await,
        replica(upstream, redis, extra).await,
        replica(upstream, redis, extra).await,
    ]
}

pub fn live(number: usize) -> Reply {
    Reply::json(&format!(r#"{{"status":"running","n":{number}}}"#))
}

pub fn done() -> Reply {
    Reply::json(r#"{"status":"completed"}"#)
}
