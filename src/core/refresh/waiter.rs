//! Owns the waiter: one client that waits for a flight of its task.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::interest::Interest;
use super::picture::{FlightResult, Frame};

/// The flight that had started did not take place: the shared tier allows none for now.
#[derive(Debug)]
pub(in crate::core) struct Postponed;

/// A client that waits for the result of a flight.
pub(in crate::core) struct Waiter {
    pub(in crate::core) frames: watch::Receiver<Frame>,
    /// The number of the first flight that answers this client.
    pub(in crate::core) flight: u64,
    /// Whether a state was known that could stand in.
    pub(in crate::core) known_before: bool,
    /// Whether the task was in the schedule already, so that the request was coalesced.
    pub(in crate::core) collapsed: bool,
    pub(in crate::core) interest: Interest,
}

impl Waiter {
    /// Whether the flight has started.
    pub(in crate::core) fn started(&self) -> bool {
        self.frames.borrow().started >= self.flight
    }

    /// Whether the task has lost its place to a client that holds fewer.
    pub(in crate::core) fn is_evicted(&self) -> bool {
        self.frames.borrow().evicted
    }

    /// The result of the flight; `None` where the flight has not started by `start_by`, the gateway
    /// shuts down, or the task loses its place. A started flight is waited for, because every flight lands. Cancel safe.
    ///
    /// # Errors
    /// [`Postponed`], after which the caller may wait again.
    pub(in crate::core) async fn landing(
        &mut self,
        start_by: Instant,
    ) -> Result<Option<FlightResult>, Postponed> {
        let mut patience = std::pin::pin!(sleep_until(start_by));
        // A timer has a cost, and a client whose flight has started needs none.
        let mut is_patient = !self.started();
        // By now another flight may have started.
        let postponed = self.frames.borrow().postponed;
        loop {
            {
                let frame = self.frames.borrow_and_update();
                if frame.landed >= self.flight {
                    return Ok(frame.result());
                }
                if frame.closed || frame.evicted {
                    return Ok(None);
                }
                if frame.postponed > postponed {
                    return Err(Postponed);
                }
                is_patient &= frame.started < self.flight;
            }
            tokio::select! {
                changed = self.frames.changed() => if changed.is_err() {
                    return Ok(None);
                },
                () = &mut patience, if is_patient => {
                    if !self.started() {
                        return Ok(None);
                    }
                    is_patient = false;
                }
            }
        }
    }
}
