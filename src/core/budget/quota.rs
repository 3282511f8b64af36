//! Owns what the upstream says is left of the key's quota, and the slower rate that follows from it.
//!
//! It sees what creates and other programs spend before a 429 does. It can only slow: the bucket of the settings stays
//! in force beside it.

use tokio::time::{Duration, Instant};

use super::bucket::{Bucket, Rate};

/// Quotas of longer windows are ignored: the end of a day's quota must not stall everybody until midnight.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);
/// One request in half a minute always passes, in requests a minute: only an answer can say that there is more again.
const LEAST: f64 = 2.0;

/// A quota of requests, as an answer tells it (`RateLimit`, `X-RateLimit-*`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// The requests of one window. `None` where the answer does not say.
    pub limit: Option<f64>,
    /// The requests that are left of it.
    pub remaining: f64,
    /// The time until it is whole again.
    pub resets_in: Duration,
}

impl Quota {
    /// Whether it is heeded.
    fn is_short(&self) -> bool {
        !self.resets_in.is_zero() && self.resets_in <= LONGEST_WINDOW
    }

    /// The rate at which the part of this gateway lasts until the reset, in requests a minute. `limit` is that of the
    /// settings.
    ///
    /// Others have their part of what the key allows until then: what they have used already is not kept for them once
    /// more, and a day's quota not in its last minute.
    fn per_minute(&self, share: f64, limit: f64) -> f64 {
        let until_then = limit * self.resets_in.as_secs_f64() / 60.0;
        let reserve = (1.0 - share) * self.limit.map_or(until_then, |limit| limit.min(until_then));
        let spare = (self.remaining - reserve).max(0.0);
        (spare * 60.0 / self.resets_in.as_secs_f64()).max(LEAST)
    }
}

/// The quota in force, and the bucket that keeps to it.
#[derive(Debug)]
pub(super) struct Heeded {
    pub(super) quota: Quota,
    pub(super) resets_at: Instant,
    /// `None`: it allows as much as the settings.
    bucket: Option<Bucket>,
}

impl Heeded {
    /// The tightest of these quotas. `before` is what was heeded until now; what was sent in that time stays spent.
    pub(super) fn new(
        quotas: &[Quota],
        share: f64,
        settings: &Bucket,
        before: Option<&Self>,
        now: Instant,
    ) -> Option<Self> {
        let limit = settings.rate().per_minute / share;
        let heeded = quotas.iter().filter(|quota| quota.is_short());
        let rated = heeded.map(|quota| (quota, quota.per_minute(share, limit)));
        let (quota, per_minute) = rated.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let usual = settings.effective_per_minute();
        let bucket = (per_minute < usual).then(|| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and burst"
            )]
            let burst = (f64::from(settings.rate().burst) * per_minute / usual) as u32;
            let spent = before.and_then(|before| before.bucket.as_ref()).unwrap_or(settings);
            spent.at_rate(Rate { per_minute, burst: burst.max(1) }, now)
        });
        Some(Self { quota: *quota, resets_at: now + quota.resets_in, bucket })
    }

    /// The bucket, until the reset.
    fn bucket(&self, now: Instant) -> Option<&Bucket> {
        self.bucket.as_ref().filter(|_| now < self.resets_at)
    }

    /// The time at which the request behind `ahead` others is within the quota: at its reset at the latest.
    pub(super) fn ready_at(&self, now: Instant, ahead: u32) -> Instant {
        self.bucket(now).map_or(now, |bucket| bucket.ready_at(now, ahead).min(self.resets_at))
    }

    /// The time at which nothing of it is used, unless requests are sent: at its reset at the latest.
    pub(super) fn full_at(&self, now: Instant) -> Instant {
        self.bucket(now).map_or(now, |bucket| bucket.full_at().min(self.resets_at))
    }

    /// Counts a request.
    pub(super) fn take(&mut self, now: Instant) {
        if let Some(bucket) = self.bucket.as_mut().filter(|_| now < self.resets_at) {
            bucket.take(now);
        }
    }

    /// A counted request was not sent after all.
    pub(super) fn give_back(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back();
        }
    }

    /// The whole requests that may start at once; `None` where the settings alone decide.
    pub(super) fn tokens(&self, now: Instant) -> Option<u32> {
        self.bucket(now).map(|bucket| bucket.tokens(now))
    }

    /// The rate in force, in requests a minute; `None` where the settings alone decide.
    pub(super) fn effective_per_minute(&self, now: Instant) -> Option<f64> {
        self.bucket(now).map(Bucket::effective_per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(limit: f64, remaining: f64, seconds: f64) -> Quota {
        Quota { limit: Some(limit), remaining, resets_in: Duration::from_secs_f64(seconds) }
    }

    /// The rate that is left of 800 a minute, where the settings say 1000 and a share of 0.8.
    fn rate(quotas: &[Quota]) -> Option<f64> {
        let now = Instant::now();
        let settings = Bucket::new(Rate { per_minute: 800.0, burst: 80 }, now);
        Heeded::new(quotas, 0.8, &settings, None, now)?.effective_per_minute(now).map(f64::round)
    }

    #[test]
    fn what_is_left_lasts_until_the_reset_and_the_rest_stays_for_creates() {
        assert_eq!(rate(&[quota(1000.0, 1000.0, 60.0)]), None, "as much as the settings");
        assert_eq!(rate(&[quota(1000.0, 600.0, 60.0)]), Some(400.0));
        assert_eq!(rate(&[quota(1000.0, 600.0, 20.0)]), None, "the window is nearly over");
        assert_eq!(rate(&[quota(1000.0, 200.0, 60.0)]), Some(LEAST));
        assert_eq!(rate(&[quota(1000.0, 0.0, 1.0)]), Some(LEAST));
        assert_eq!(rate(&[quota(1000.0, 200.0, 30.0)]), Some(200.0), "others have used a half of theirs");
        assert_eq!(rate(&[quota(100_000.0, 15_000.0, 50.0)]), None, "a day's quota in its last minute");
        assert_eq!(rate(&[quota(100.0, 30.0, 10.0)]), Some(60.0), "a window of ten seconds");
        assert_eq!(rate(&[Quota { limit: None, ..quota(0.0, 600.0, 60.0) }]), Some(400.0));
    }

    #[test]
    fn the_tightest_short_window_counts() {
        let day = quota(10_000.0, 1.0, 40_000.0);
        assert_eq!(rate(&[day]), None);
        assert_eq!(rate(&[quota(1000.0, 0.0, 0.0)]), None);
        assert_eq!(rate(&[day, quota(1000.0, 700.0, 60.0), quota(1000.0, 600.0, 60.0)]), Some(400.0));
        assert_eq!(rate(&[]), None);
    }

    /// Fixed windows of ten seconds and 200 requests, of which others use their fifth at the begin.
    #[test]
    fn both_parts_of_a_window_are_used() {
        let start = Instant::now();
        let mut settings = Bucket::new(Rate { per_minute: 960.0, burst: 96 }, start);
        let mut heeded: Option<Heeded> = None;
        let mut sent = [0u32; 6];
        for tick in 0..6000u32 {
            let (now, window) = (start + Duration::from_millis(10) * tick, (tick / 1000) as usize);
            let resets_in = Duration::from_millis(10) * (1000 - tick % 1000);
            if heeded.as_ref().is_some_and(|heeded| heeded.ready_at(now, 0) > now) || !settings.take(now) {
                continue;
            }
            if let Some(heeded) = &mut heeded {
                heeded.take(now);
            }
            sent[window] += 1;
            let remaining = f64::from(200 - 40 - sent[window].min(160));
            let told = Quota { limit: Some(200.0), remaining, resets_in };
            heeded = Heeded::new(&[told], 0.8, &settings, heeded.as_ref(), now);
        }
        assert!(sent.iter().all(|count| (145..=160).contains(count)), "{sent:?}");
    }

    #[test]
    fn it_slows_until_the_reset_and_what_was_sent_stays_spent() {
        let now = Instant::now();
        let settings = Bucket::new(Rate { per_minute: 800.0, burst: 80 }, now);
        let mut heeded = Heeded::new(&[quota(1000.0, 210.0, 60.0)], 0.8, &settings, None, now).unwrap();
        assert_eq!(heeded.tokens(now), Some(1));
        heeded.take(now);
        let soon = now + Duration::from_secs(3);
        assert_eq!(heeded.ready_at(soon, 0), now + Duration::from_secs(6));
        let mut again =
            Heeded::new(&[quota(1000.0, 199.5, 57.0)], 0.8, &settings, Some(&heeded), soon).unwrap();
        assert_eq!(again.tokens(soon), Some(0));
        again.take(soon);
        assert_eq!(again.ready_at(soon, 1000), soon + Duration::from_secs(57), "at the reset at the latest");
        let reset = soon + Duration::from_secs(57);
        assert_eq!((again.ready_at(reset, 1000), again.tokens(reset)), (reset, None));
    }
}
