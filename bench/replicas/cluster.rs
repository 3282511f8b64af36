//! Owns the gateways of a measurement, each with a way of its own to Redis.

use std::net::SocketAddr;

use taskgate_bench::{Failure, Gateway};
use tokio::time::{Duration, sleep};

use crate::client;
use crate::wire::{Fate, Wire};

/// The settings of all gateways, beside the address of Redis.
pub type Settings<'s> = &'s [(&'s str, &'s str)];

/// A gateway of a cluster.
pub struct Member {
    pub gateway: Gateway,
    pub wire: Wire,
}

/// Starts gateways that share, and waits until they do.
pub async fn start(
    count: usize,
    upstream: SocketAddr,
    redis: SocketAddr,
    settings: Settings<'_>,
) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    for _ in 0..count {
        let wire = Wire::to(redis).await;
        let gateway = member(upstream, &wire, settings)?;
        shares(&gateway, true).await?;
        members.push(Member { gateway, wire });
    }
    Ok(members)
}

/// A gateway on this way to Redis.
pub fn member(upstream: SocketAddr, wire: &Wire, settings: Settings<'_>) -> Result<Gateway, Failure> {
    let url = wire.url();
    let shared = [("TASKGATE_SHARED__REDIS_URL", url.as_str()), ("TASKGATE_SHARED__REPLICAS_HINT", "3")];
    Gateway::start(upstream, &[&shared[..], settings].concat())
}

/// Does this to the ways of all to Redis.
pub fn all(members: &[Member], fate: Fate) {
    for member in members {
        member.wire.becomes(fate);
    }
}

/// Waits until a gateway shares, or does not.
pub async fn shares(gateway: &Gateway, shares: bool) -> Result<(), Failure> {
    for _ in 0..3000 {
        let (_, text) = client::ask(gateway.admin, "/readyz").await?;
        if (text == "ready\n") == shares {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err("readyz does not change".into())
}

/// The calls of Redis of these gateways, by kind.
pub async fn calls(members: &[Member]) -> Result<Vec<(String, u64)>, Failure> {
    let mut calls: Vec<(String, u64)> = Vec::new();
    for member in members {
        let (_, page) = client::ask(member.gateway.admin, "/metrics").await?;
        for line in page.lines().filter_map(|line| line.strip_prefix("taskgate_shared_calls_total{call=\"")) {
            let (Some((call, _)), Some(count)) = (line.split_once('"'), line.rsplit(' ').next()) else {
                continue;
            };
            let count: u64 = count.parse()?;
            match calls.iter_mut().find(|(known, _)| known == call) {
                Some((_, known)) => *known += count,
                None => calls.push((call.to_owned(), count)),
            }
        }
    }
    Ok(calls)
}

/// The value at this part of sorted times, in milliseconds.
pub fn part(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default().as_secs_f64() * 1000.0
}
