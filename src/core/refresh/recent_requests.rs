//! Owns the recent upstream requests: their durations, their failures, and the tasks that were answered. Each
//! list is bounded. Apart from the ids of tasks, none holds text from the upstream or from a client.
//!
//! Landings and readers take the lock, and never hold it together with another one.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Duration, Instant};

use crate::core::failure::Failure;
use crate::core::rolling_counter::SPAN;
use crate::core::task::TaskKey;

const FAILURES: usize = 20;
const TIMINGS: usize = 2048;
const LANDED: usize = 512;

/// The recent upstream requests.
#[derive(Debug, Default)]
pub struct RecentRequests(Mutex<Recent>);

/// An upstream request that failed.
#[derive(Debug, Clone)]
pub struct FailedRequest {
    /// The time at which the request landed.
    pub at: Instant,
    /// The task of the request.
    pub key: TaskKey,
    /// The failure.
    pub failure: Failure,
}

/// The latency of the upstream over the last [`SPAN`] seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// The median duration; `None` without requests.
    pub median: Option<Duration>,
    /// The 95th percentile; `None` without requests.
    pub p95: Option<Duration>,
    /// The mean of each of the last [`SPAN`] whole seconds, the latest last.
    pub seconds: Vec<Option<Duration>>,
}

#[derive(Debug, Default)]
struct Recent {
    failures: VecDeque<FailedRequest>,
    timings: VecDeque<(Instant, Duration)>,
    /// The tasks that were answered last, and when. A task that was answered twice occurs twice.
    landed: VecDeque<(TaskKey, Instant)>,
}

impl RecentRequests {
    /// Records a request that landed after `took`.
    pub(super) fn landed(&self, key: &TaskKey, took: Duration, failure: Option<Failure>, now: Instant) {
        let mut recent = self.recent();
        push(&mut recent.timings, (now, took), TIMINGS);
        match failure {
            Some(failure) => {
                push(&mut recent.failures, FailedRequest { at: now, key: key.clone(), failure }, FAILURES);
            }
            None => push(&mut recent.landed, (key.clone(), now), LANDED),
        }
    }

    /// The last failures, the latest first.
    pub fn failures(&self) -> Vec<FailedRequest> {
        self.recent().failures.iter().rev().cloned().collect()
    }

    /// The tasks that were answered within `span`, the latest first. A task may occur more than once.
    pub fn told_within(&self, span: Duration, now: Instant) -> Vec<TaskKey> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) <= span;
        let recent = self.recent();
        recent.landed.iter().rev().take_while(|(_, at)| is_recent(*at)).map(|(key, _)| key.clone()).collect()
    }

    /// The latency over the last [`SPAN`] seconds.
    pub fn latency(&self, now: Instant) -> Latency {
        let mut sums = vec![(Duration::ZERO, 0_u32); usize::try_from(SPAN).unwrap_or(0)];
        let mut all = Vec::new();
        for (at, took) in &self.recent().timings {
            let back = now.saturating_duration_since(*at).as_secs();
            let place = SPAN.checked_sub(back + 1).and_then(|place| usize::try_from(place).ok());
            if let Some((sum, count)) = place.and_then(|place| sums.get_mut(place)) {
                *sum += *took;
                *count += 1;
                all.push(*took);
            }
        }
        all.sort_unstable();
        Latency {
            median: all.get(all.len() / 2).copied(),
            p95: all.get(all.len() * 19 / 20).copied(),
            seconds: sums.into_iter().map(|(sum, count)| sum.checked_div(count)).collect(),
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock()
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::task::{Route, Routes};

    fn key(id: usize) -> TaskKey {
        let routes = Routes::new(vec![Route::parse("/t/{id}").unwrap()]);
        routes.find(&format!("/t/{id}")).unwrap()
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let recent_requests = RecentRequests::default();
        for number in 0..5000 {
            let now = start + Duration::from_millis(number as u64);
            recent_requests.landed(&key(number), Duration::from_millis(7), None, now);
            recent_requests.landed(&key(number), Duration::from_millis(9), Some(Failure::Unreachable), now);
        }
        let now = start + Duration::from_secs(5);
        assert_eq!(recent_requests.failures().len(), FAILURES);
        assert_eq!(recent_requests.failures()[0].key, key(4999));
        assert_eq!(recent_requests.told_within(Duration::from_secs(60), now).len(), LANDED);
        assert!(recent_requests.told_within(Duration::from_secs(60), now).contains(&key(4999)));
        assert_eq!(recent_requests.recent().timings.len(), TIMINGS);
        let latency = recent_requests.latency(now);
        assert_eq!(latency.p95, Some(Duration::from_millis(9)));
        assert_eq!(latency.seconds.len(), 120);
        assert_eq!(latency.seconds[119], Some(Duration::from_millis(8)));
        assert_eq!(latency.seconds[0], None);
    }
}
