//! Owns the connections to the upstream: those that are kept between requests, and those that serve one request.
//!
//! Bytes that arrive on a kept connection while no request is under way close it: hyper reads idle connections. It
//! cannot see bytes that arrive after the next request was written; they are taken as its response. Only the ids in
//! the body show that, and then the core [distrusts](Connections::distrust) all connections that are kept.

use parking_lot::Mutex;
use reqwest::{Certificate, Client, redirect, retry};
use rustls::pki_types::CertificateDer;
use tokio::time::{Duration, Instant};

/// The largest number of idle connections to the upstream.
const MAX_IDLE: usize = 32;
/// The time after a refused answer in which no connection is kept. An upstream that sends one response too many may send
/// others, and a connection that serves one request cannot pass one on.
const PAUSE: Duration = Duration::from_secs(60);

/// The clients of the upstream.
pub(super) struct Connections {
    kept: Mutex<Kept>,
    fresh: Client,
    connect_timeout: Duration,
    ca: Vec<Certificate>,
}

struct Kept {
    /// Owns the kept connections: without it they close. `None` while none are kept.
    client: Option<Client>,
    /// When connections are kept again.
    from: Instant,
}

impl Connections {
    /// Sets up TLS, without a connection.
    pub(super) fn new(
        connect_timeout: Duration,
        ca: &[CertificateDer<'static>],
    ) -> Result<Self, reqwest::Error> {
        let ca: Vec<_> = ca.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?;
        let kept = Kept { client: Some(client(connect_timeout, &ca, MAX_IDLE)?), from: Instant::now() };
        let fresh = client(connect_timeout, &ca, 0)?;
        Ok(Self { kept: Mutex::new(kept), fresh, connect_timeout, ca })
    }

    /// Takes a kept connection for a request, and keeps its connection afterwards; except in the [pause](PAUSE)
    /// after a refusal.
    pub(super) fn any(&self) -> Client {
        let now = Instant::now();
        {
            let mut kept = self.kept.lock();
            match &kept.client {
                Some(client) => return client.clone(),
                None if now < kept.from => return self.fresh.clone(),
                // The others go on with connections of their own while this caller sets up TLS, and so does
                // everybody for another pause if that fails.
                None => kept.from = now + PAUSE,
            }
        }
        let Ok(new) = client(self.connect_timeout, &self.ca, MAX_IDLE) else { return self.fresh.clone() };
        let mut kept = self.kept.lock();
        kept.client.get_or_insert(new).clone()
    }

    /// Opens a connection for each request, and closes it afterwards.
    pub(super) fn fresh(&self) -> &Client {
        &self.fresh
    }

    /// Closes the idle connections, and those in use after their request.
    pub(super) fn distrust(&self) {
        let suspect = {
            let mut kept = self.kept.lock();
            if kept.client.is_some() {
                kept.from = Instant::now() + PAUSE;
            }
            kept.client.take()
        };
        drop(suspect);
    }
}

fn client(connect_timeout: Duration, ca: &[Certificate], max_idle: usize) -> Result<Client, reqwest::Error> {
    Client::builder()
        .redirect(redirect::Policy::none())
        // Without retries, reqwest keeps no copy of each request.
        .retry(retry::never().max_retries_per_request(0))
        .no_proxy()
        .http1_only()
        // Upstreams behind protecting proxies send cookies with bytes that no header may have. None of them is read.
        .http1_ignore_invalid_headers_in_responses(true)
        .tls_certs_merge(ca.iter().cloned())
        .tcp_nodelay(true)
        .referer(false)
        .connect_timeout(connect_timeout)
        .pool_max_idle_per_host(max_idle)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(connections: &Connections) -> bool {
        let _ = connections.any();
        connections.kept.lock().client.is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_no_connection_is_kept_for_a_minute() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connections = Connections::new(Duration::from_secs(3), &[]).unwrap();
        assert!(keeps(&connections));
        connections.distrust();
        assert!(!keeps(&connections));
        tokio::time::advance(PAUSE / 2).await;
        // It came on a connection of its own: nothing is kept that could be closed, and the pause is not prolonged.
        connections.distrust();
        assert!(!keeps(&connections));
        tokio::time::advance(PAUSE / 2).await;
        assert!(keeps(&connections));
    }
}
