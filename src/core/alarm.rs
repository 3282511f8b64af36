//! Owns the alarm: a timer that is put off often.
//!
//! To set a timer takes the runtime's lock and touches other timers. An alarm that is put off leaves its timer as it is,
//! which then fires too early, once, and is set anew.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is put off often.
#[derive(Debug)]
pub struct Alarm {
    at: Instant,
    /// When the timer fires, and whom it wakes, if it is under way.
    fires: Option<(Instant, Waker)>,
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    /// An alarm for this time.
    pub fn new(at: Instant) -> Self {
        Self { at, fires: None, timer: Box::pin(sleep_until(at)) }
    }

    /// Sets it to another time, earlier or later.
    pub fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.fires = None;
            self.timer.as_mut().reset(at);
        }
    }

    /// Ready at its time, and from then on until it is set anew. `now` is the present time.
    pub fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        // Most wake-ups of a task have other reasons: the timer is not touched then.
        if self.fires.as_ref().is_some_and(|(fires, waker)| now < *fires && waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        loop {
            self.fires = Some((self.timer.deadline(), cx.waker().clone()));
            // Unconstrained: a task that has used up its turn would not be entered in the timer.
            ready!(pin!(unconstrained(self.timer.as_mut())).poll(cx));
            self.fires = None;
            if self.timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
    }

    /// Resolves at its time. Cancel safe.
    pub async fn rung(&mut self) {
        poll_fn(|cx| self.poll(cx, Instant::now())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::time::{Duration, advance};

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_time_that_was_set_last() {
        let start = Instant::now();
        let mut alarm = Alarm::new(start + second(10));
        for seconds in [20, 15, 30] {
            alarm.set(start + second(seconds));
            assert!(alarm.rung().now_or_never().is_none());
        }
        alarm.rung().await;
        assert_eq!(start.elapsed(), second(30), "put off");
        alarm.set(start + second(90));
        assert!(alarm.rung().now_or_never().is_none());
        alarm.set(start + second(40));
        alarm.rung().await;
        assert_eq!(start.elapsed(), second(40), "brought forward");
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_over_rings_at_once_and_goes_on_ringing() {
        let start = Instant::now();
        let mut alarm = Alarm::new(start + second(10));
        advance(second(11)).await;
        for _ in 0..2 {
            assert!(alarm.rung().now_or_never().is_some());
        }
        alarm.set(start + second(12));
        assert!(alarm.rung().now_or_never().is_none());
        alarm.rung().await;
        assert_eq!(start.elapsed(), second(12));
    }
    /// A stream begins in its connection's task and goes on in one of its own.
    #[tokio::test(start_paused = true)]
    async fn it_wakes_the_task_that_waits_for_it_now() {
        let mut alarm = Alarm::new(Instant::now() + second(10));
        let mut elsewhere = Context::from_waker(Waker::noop());
        assert!(alarm.poll(&mut elsewhere, Instant::now()).is_pending());
        tokio::time::timeout(second(11), alarm.rung()).await.unwrap();
    }
}
