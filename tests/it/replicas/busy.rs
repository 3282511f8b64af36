//! Owns two replicas whose clients poll without a pause, and what they got.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Events, Gateway, Reply, Seen, Upstream, gateway, get, until};

/// The budget: less than the clients would use.
const PER_SECOND: f64 = 40.0;
const BURST: f64 = 10.0;

/// Two replicas at work.
pub struct Busy {
    replicas: Vec<Gateway>,
    upstream: Upstream,
    ended: Arc<Mutex<HashSet<String>>>,
    rounds: AtomicUsize,
    polls: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    polling: Vec<tokio::task::JoinHandle<()>>,
}

impl Busy {
    pub async fn start(redis_url: &str) -> Self {
        let ended = Arc::<Mutex<HashSet<String>>>::default();
        let over = Arc::clone(&ended);
        let upstream = Upstream::start(move |number, request| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            let status = if over.lock().unwrap().contains(path) { "completed" } else { "running" };
            Reply::json(&format!(r#"{{"status":"{status}","n":{number}}}"#))
        })
        .await;
        let settings = [
            ("polling.fresh_for", "100ms"),
            ("polling.max_interval", "100ms"),
            ("budget.requests_per_minute", "3000"),
            ("budget.burst", "10"),
            ("shared.redis_url", redis_url),
        ];
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(gateway(&upstream, &settings).await);
        }
        let (polls, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut polling = Vec::new();
        for number in 0..20_usize {
            let address = replicas[number % 2].address;
            let (polls, is_over) = (Arc::clone(&polls), Arc::clone(&is_over));
            polling.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = get(address, &format!("/v1/tasks/t{}", number / 4)).await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    polls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }));
        }
        let rounds = AtomicUsize::new(0);
        let busy = Self { replicas, upstream, ended, rounds, polls, is_over, polling };
        busy.shares(true).await;
        busy
    }

    /// Waits until all replicas say that they share, or that they are alone.
    pub async fn shares(&self, shares: bool) {
        for replica in &self.replicas {
            until("readyz tells of the trouble", async || {
                let text = get(replica.admin, "/readyz").await.text();
                let is_alone = text.contains("degraded: Redis");
                assert!(is_alone || text == "ready\n", "{text}");
                (is_alone != shares).then_some(())
            })
            .await;
        }
    }

    /// Lets clients poll, and the upstream be asked, for a while: counted in polls. A task ends meanwhile, and whoever
    /// watches it is told so once, on every replica.
    pub async fn goes_on(&self) {
        let (polls, asked) = (self.polls.load(Ordering::Relaxed), self.upstream.count());
        let path = format!("/v1/tasks/e{}", self.rounds.fetch_add(1, Ordering::Relaxed));
        let mut watches = Vec::new();
        for replica in &self.replicas {
            let mut events = Events::open(replica.address, &path, "").await;
            assert!(Events::data(&events.next().await).contains("running"));
            watches.push(events);
        }
        self.ended.lock().unwrap().insert(path);
        for mut events in watches {
            let mut ends = 0;
            loop {
                match events.next().await {
                    Seen::Event { name, data, .. } => {
                        assert!(ends == 0 && (name.is_empty() || name == "estimate"), "{name}: {data}");
                        ends += usize::from(data.contains("completed"));
                    }
                    Seen::Comment => {}
                    Seen::Retry(_) => panic!("it is sent away"),
                    Seen::End => break,
                }
            }
            assert_eq!(ends, 1);
        }
        until("clients poll on, and states are refreshed", async || {
            let has_polled = self.polls.load(Ordering::Relaxed) > polls + 200;
            (has_polled && self.upstream.count() > asked + 5).then_some(())
        })
        .await;
    }

    /// No client got an error, and the budget was exceeded by no more than the replicas' own parts of it, which are a
    /// whole one together.
    pub async fn end(self) {
        self.goes_on().await;
        self.is_over.store(true, Ordering::Relaxed);
        for polling in self.polling {
            polling.await.unwrap();
        }
        let times: Vec<Instant> = self.upstream.times().into_iter().map(|(at, _)| at).collect();
        for (first, from) in times.iter().enumerate() {
            for (last, to) in times.iter().enumerate().skip(first) {
                // What was allowed may be sent a little later.
                let window = (*to - *from).as_secs_f64() + 0.3;
                let most = 2.0 * (BURST + window * PER_SECOND);
                assert!((last - first) as f64 + 1.0 <= most, "{} in {window} s", last - first + 1);
            }
        }
    }
}
