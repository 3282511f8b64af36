//! Owns the news of other replicas: hints by pub/sub, on a connection of their own, and a look at what was told since the
//! last look, which misses nothing. The looks also find out whether Redis is back.

use redis::Value;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::clock::Clock;
use super::counters::Call;
use super::keys::CHANNELS;
use super::link::Standing;
use super::listener::Listener;
use super::replies::{Reply, news};
use super::subscription::Subscription;
use super::tier::RedisTier;
use crate::core::shared::{Alone, News};

/// The time between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// The time between two looks while this process is alone.
const TRY: Duration = Duration::from_secs(1);
/// The time to the first attempt after the connection was lost.
const FIRST_TRY: Duration = Duration::from_millis(100);
/// The longest time to subscribe.
const SUBSCRIBE: Duration = Duration::from_secs(1);

impl RedisTier {
    /// Waits for news. Only one task may listen; what it has heard so far is lost if it stops while it waits.
    pub(super) async fn next_news(&self) -> Vec<News> {
        let taken = self.listener.lock().take();
        let mut listener = taken.unwrap_or_else(Listener::new);
        let news = self.listen(&mut listener).await;
        *self.listener.lock() = Some(listener);
        news
    }

    async fn listen(&self, listener: &mut Listener) -> Vec<News> {
        let Listener { subscription, looked, next } = listener;
        loop {
            let hint = async {
                match subscription {
                    Some(subscription) => subscription.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                hint = hint => {
                    let Some(hints) = hint else {
                        *subscription = None;
                        *next = Instant::now().min(*next) + FIRST_TRY;
                        continue;
                    };
                    return hints;
                }
                () = self.renamed.notified() => {
                    (*subscription, *looked, *next) = (None, 0, Instant::now());
                }
                () = self.link.lost.notified() => *next = Instant::now() + jittered(FIRST_TRY),
                () = sleep_until(*next) => {
                    let news = self.look(looked).await;
                    let is_together = self.link.standing() == Standing::Together;
                    if is_together && subscription.is_none() {
                        *subscription = self.subscribe().await;
                    }
                    let is_whole = is_together && subscription.is_some();
                    *next = Instant::now() + jittered(if is_whole { LOOK } else { TRY });
                    if let Ok(news) = news && !news.is_empty() {
                        return news;
                    }
                }
            }
        }
    }

    /// What was told since the last look.
    async fn look(&self, looked: &mut u64) -> Result<Vec<News>, Alone> {
        let names = self.names();
        let mut script = self.scripts.look.prepare_invoke();
        script.key(names.budget()).key(names.turns()).key(names.replicas());
        for channel in 0..CHANNELS {
            script.key(names.news(channel));
        }
        script.arg(&self.replica).arg(*looked).arg(names.task_prefix());
        let answer = self.link.try_again(Call::Look, &script).await?;
        let (now, replicas, paths) = read(answer).ok_or_else(|| self.link.nonsense())?;
        *looked = now;
        self.told_time(Clock::told(now));
        self.saw_replicas(replicas);
        Ok(paths.iter().filter_map(|text| news(text)).collect())
    }

    /// A subscription to all channels. `None`: the next look tries again.
    async fn subscribe(&self) -> Option<Subscription> {
        let names = self.names();
        let channels: Vec<String> = (0..CHANNELS).map(|channel| names.channel(channel)).collect();
        timeout(SUBSCRIBE, Subscription::to(channels, self.link.client())).await.ok()?.ok()
    }
}

fn read(answer: Value) -> Option<(u64, u64, Vec<String>)> {
    let mut reply = Reply::new(answer)?;
    Some((reply.number()?, reply.number()?, reply.texts()?))
}

/// Up to a fifth shorter: replicas do not come all at once.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(1.0 - fastrand::f64() / 5.0)
}
