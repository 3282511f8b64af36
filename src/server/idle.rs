//! Owns the timeouts of connections whose client sends nothing: `header_read_timeout` for a head that has
//! begun and for the first head of a new connection, `idle_timeout` for the next request.
//!
//! Each connection has one timer. It is set anew only where it would fire too late, or has fired too early,
//! so that a request on a busy connection costs one reading of the clock.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Tracker};
use super::limits::ConnectionLimits;

/// Resolves when a connection has timed out. It has to be polled whenever the connection is.
pub(super) async fn expired(tracker: &Tracker, limits: ConnectionLimits) {
    let now = Instant::now();
    let mut timer_state = IdleTimer { activity: Activity::Answering, until: now, is_set: false };
    let mut timer = std::pin::pin!(sleep_until(now + limits.header_read_timeout));
    poll_fn(|cx| timer_state.poll(cx, tracker.activity(), limits, timer.as_mut())).await;
}

struct IdleTimer {
    /// The activity at the last poll.
    activity: Activity,
    /// The deadline of that activity; without meaning while the connection is answering.
    until: Instant,
    /// Whether the timer has been polled, and will wake the connection.
    is_set: bool,
}

impl IdleTimer {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        activity: Activity,
        limits: ConnectionLimits,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<()> {
        if activity != self.activity {
            self.activity = activity;
            let limit = match activity {
                Activity::Answering => return Poll::Pending,
                Activity::ReadingHead { .. } | Activity::Idle { after: 0 } => limits.header_read_timeout,
                Activity::Idle { .. } => limits.idle_timeout,
            };
            let now = Instant::now();
            self.until = now + limit;
            if self.until < timer.deadline() {
                timer.as_mut().reset(self.until);
            } else if self.is_set && now < timer.deadline() {
                return Poll::Pending;
            }
        } else if activity == Activity::Answering {
            return Poll::Pending;
        }
        loop {
            // A timer that was polled wakes the connection by itself. Other wake-ups need not poll it again.
            self.is_set = true;
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= self.until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Duration, sleep};

    const LIMITS: ConnectionLimits = ConnectionLimits {
        max_connections: 1,
        header_read_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        write_stall_timeout: Duration::from_secs(30),
    };

    /// Simulates a connection. Returns the time from its start to its timeout, in whole seconds.
    async fn ended<L: Future<Output = ()>>(life: impl FnOnce(Tracker) -> L) -> u64 {
        let (tracker, start) = (Tracker::alone(), Instant::now());
        let life = life(tracker.clone());
        tokio::select! {
            biased;
            () = async { life.await; std::future::pending().await } => {}
            () = expired(&tracker, LIMITS) => {}
        }
        start.elapsed().as_secs()
    }

    async fn seconds(count: u64) {
        sleep(Duration::from_secs(count)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_has_as_long_as_a_head() {
        assert_eq!(ended(async |_| {}).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_however_many_follow() {
        let dribble = async |tracker: Tracker| {
            loop {
                seconds(4).await;
                tracker.heard();
            }
        };
        assert_eq!(ended(dribble).await, 14);
        let after_a_request = async |tracker: Tracker| {
            drop(tracker.begin());
            seconds(70).await;
            dribble(tracker).await;
        };
        assert_eq!(ended(after_a_request).await, 84);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_an_hour_and_then_the_connection_may_idle() {
        let life = async |tracker: Tracker| {
            let answer = tracker.begin();
            seconds(3600).await;
            drop(answer);
        };
        assert_eq!(ended(life).await, 3675);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_the_client_still_reads_has_not_ended() {
        let life = async |tracker: Tracker| {
            drop(tracker.begin());
            tracker.blocked(true);
            seconds(600).await;
            tracker.blocked(false);
        };
        assert_eq!(ended(life).await, 675);
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_begins_the_idle_time_anew() {
        let life = async |tracker: Tracker| {
            for _ in 0..100 {
                seconds(60).await;
                tracker.heard();
                // The request is read, answered and written in one poll.
                drop(tracker.begin());
            }
        };
        // The first request comes after the ten seconds that a new connection has.
        assert_eq!(ended(life).await, 10);
        let life = async |tracker: Tracker| {
            drop(tracker.begin());
            for _ in 0..100 {
                seconds(60).await;
                tracker.heard();
                drop(tracker.begin());
            }
        };
        assert_eq!(ended(life).await, 6075);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_during_an_answer_begin_no_head() {
        let life = async |tracker: Tracker| {
            let answer = tracker.begin();
            tracker.heard();
            seconds(20).await;
            drop(answer);
        };
        assert_eq!(ended(life).await, 95);
    }
}
