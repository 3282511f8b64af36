//! Owns the subscription to the hints of other replicas, on a connection of its own.
//!
//! At most [`HINTS`] wait to be read, whatever Redis sends: further ones are dropped, and the next look finds what they
//! told.

use std::convert::Infallible;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::mpsc;

use super::replies::news;
use crate::core::shared::News;

/// The most hints that wait.
pub(super) const HINTS: usize = 4096;
/// Hints that are handed on at once.
const BATCH: usize = 1000;

/// An open subscription, which ends with this value.
pub(super) struct Subscription {
    hints: mpsc::Receiver<News>,
    _connection: MultiplexedConnection,
}

impl Subscription {
    pub(super) async fn to(channels: Vec<String>, client: &Client) -> RedisResult<Self> {
        let (sender, hints) = mpsc::channel(HINTS);
        let take = move |push: PushInfo| {
            if let Some(news) = told(&push) {
                let _ = sender.try_send(news);
            }
            Ok::<(), Infallible>(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(take);
        let info = client.get_connection_info().clone();
        // Only this version has pushes.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(channels).await?;
        Ok(Self { hints, _connection: connection })
    }

    /// The hints that are there, once there are any. `None`: the subscription has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Vec<News>> {
        let mut batch = Vec::new();
        (self.hints.recv_many(&mut batch, BATCH).await > 0).then_some(batch)
    }
}

/// A message: its channel and its text.
fn told(push: &PushInfo) -> Option<News> {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::Message, [_, Value::BulkString(text)]) => news(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}
