//! Owns what a request holds of the shared tier, which is the lease of its task or the probe of the gate: its return where
//! it is not used.

use tokio::time::Duration;

use super::coordinator::Coordinator;
use crate::core::shared::{Clearance, GateNews, Landing};
use crate::core::task::TaskKey;

impl Coordinator {
    /// Gives a clearance back that was not used: the lease is free, and another request may be the probe at once.
    pub(super) async fn give_up(&self, key: Option<&TaskKey>, clearance: Option<Clearance>) {
        let (Some(tier), Some(clearance)) = (self.budget.tier(), clearance) else { return };
        if key.is_none() && !clearance.is_probe {
            return;
        }
        let gate = if clearance.is_probe {
            GateNews::Undecided { hold: Duration::ZERO }
        } else {
            GateNews::None
        };
        let _ = tier.land(key, Landing { clearance, state: None, gate }).await;
    }
}
