//! Owns what the dashboard shows of the tier that replicas share.

use tokio::time::Duration;

use crate::http::admin::Sharing;
use crate::shared::RedisTier;

/// Reads the tier.
pub(super) fn read(tier: &RedisTier) -> Sharing {
    let (mut calls, mut failed) = (0, 0);
    for (_, outcome, count) in tier.counters().calls() {
        calls += count;
        failed += if outcome == "ok" { 0 } else { count };
    }
    let spent = tier.counters().latency.read().sum;
    Sharing {
        alone: tier.trouble(),
        replicas: tier.replicas_alive(),
        calls,
        failed,
        mean: Duration::try_from_secs_f64(spent / calls as f64).ok(),
        taken: tier.counters().taken.get(),
    }
}
