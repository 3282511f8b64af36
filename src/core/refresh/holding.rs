//! Owns what a request holds of the shared tier, which is the lease of its task or the probe of the gate: its renewal while
//! the request is under way, and its return where it is not used.

use tokio::time::{Duration, sleep};

use super::coordinator::Coordinator;
use crate::core::shared::{self, Clearance, GateNews, Landing};
use crate::core::task::TaskKey;

/// Renewals within a lease: all but one may be lost.
const RENEWALS: u32 = 3;

impl Coordinator {
    /// Carries a request out, and renews meanwhile what it holds. Most requests are over before that is due.
    pub(super) async fn holding<T>(
        &self,
        key: Option<&TaskKey>,
        clearance: Option<Clearance>,
        request: impl Future<Output = T>,
    ) -> T {
        let held = clearance.filter(|clearance| key.is_some() || clearance.is_probe);
        let (Some(tier), Some(clearance)) = (self.budget.tier(), held) else { return request.await };
        let lease = shared::lease(self.policy.timeout);
        let renewing = async {
            loop {
                sleep(lease / RENEWALS).await;
                let _ = tier.renew(key, clearance.owner, lease).await;
            }
        };
        tokio::select! {
            biased;
            result = request => result,
            never = renewing => never,
        }
    }

    /// Gives a clearance back that was not used: the lease is free, and another request may be the probe at once.
    pub(super) async fn give_up(&self, key: Option<&TaskKey>, clearance: Option<Clearance>) {
        let (Some(tier), Some(clearance)) = (self.budget.tier(), clearance) else { return };
        if key.is_none() && !clearance.is_probe {
            return;
        }
        let gate =
            if clearance.is_probe { GateNews::Undecided { hold: Duration::ZERO } } else { GateNews::None };
        let _ = tier.land(key, Landing { clearance, state: None, gate }).await;
    }
}
