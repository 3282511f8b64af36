//! Owns the upstream of a play: what it says of each task is what it was told last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::missing;
use crate::support::{Gateway, Reply, Upstream, gateway};

/// An upstream that says of each task what it was told to.
pub struct Play {
    upstream: Upstream,
    lines: Lines,
}

#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<HashMap<String, Reply>>>);

impl Lines {
    pub fn says(&self, path: &str) -> Reply {
        self.0.lock().unwrap().get(path).cloned().unwrap_or_else(missing)
    }
}

impl Play {
    pub async fn begin(script: impl Fn(&Lines, usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let lines = Lines::default();
        let spoken = lines.clone();
        let upstream = Upstream::start(move |number, request| {
            script(&spoken, number, request.split(' ').nth(1).unwrap_or_default())
        })
        .await;
        Self { upstream, lines }
    }

    pub fn base_url(&self) -> String {
        self.upstream.base_url()
    }

    pub fn now(&self, id: &str, reply: Reply) {
        self.lines.0.lock().unwrap().insert(format!("/v1/tasks/{id}"), reply);
    }

    pub async fn gateway(&self) -> Gateway {
        self.gateway_with(&[]).await
    }

    pub async fn gateway_with(&self, extra: &[(&str, &str)]) -> Gateway {
        let often = [
            ("polling.fresh_for", "200ms"),
            ("polling.max_interval", "200ms"),
            ("cache.not_found_ttl", "200ms"),
            ("polling.gone_after", "0s"),
        ];
        gateway(&self.upstream, &[&often[..], extra].concat()).await
    }

    /// Waits until it was asked so many times more.
    pub async fn asked_again(&self, times: usize) {
        self.upstream.asked(self.upstream.count() + times).await;
    }
}
