//! Owns the connection for commands: the time-out of each call, and whether this process is alone.
//!
//! A call never connects and never waits longer than [`TIMEOUT`]. After [`FAILURES`] in a row, or when the connection is
//! lost, all calls fail at once, until a look of [`hints`](super::hints) is answered again.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ScriptInvocation, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant, timeout};

use super::counters::{Call, Counters};
use crate::core::shared::Alone;

/// The longest duration of a call.
const TIMEOUT: Duration = Duration::from_millis(100);
/// Failures in a row after which this process is alone.
const FAILURES: u32 = 5;
/// The longest time to connect.
const CONNECT: Duration = Duration::from_secs(1);

/// Whether the shared tier answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has tried yet.
    Starting,
    /// It does.
    Together,
    /// It does not, for this reason.
    Alone(String),
}

pub(super) struct Link {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    standing: watch::Sender<Standing>,
    in_a_row: Mutex<u32>,
    /// Notified when this process is alone from now on.
    pub(super) lost: Notify,
    /// This process was alone, and no call has told so yet.
    pub(super) returned: AtomicBool,
    pub(super) counters: Counters,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            connection: Mutex::new(None),
            standing: watch::Sender::new(Standing::Starting),
            in_a_row: Mutex::new(0),
            lost: Notify::new(),
            returned: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Runs a script. Right after a start it waits for the connection, as long as for an answer.
    pub(super) async fn call(&self, call: Call, script: &ScriptInvocation<'_>) -> Result<Value, Alone> {
        if *self.standing.borrow() == Standing::Starting {
            let mut standing = self.standing.subscribe();
            let _ = timeout(TIMEOUT, standing.wait_for(|standing| *standing != Standing::Starting)).await;
        }
        if *self.standing.borrow() != Standing::Together {
            return Err(Alone);
        }
        let Some(connection) = self.connection.lock().clone() else { return Err(Alone) };
        self.attempt(call, script, connection).await
    }

    /// Runs a script even where this process is alone, and connects if need be: an answer ends that.
    pub(super) async fn try_again(&self, call: Call, script: &ScriptInvocation<'_>) -> Result<Value, Alone> {
        let known = self.connection.lock().clone();
        let connection = match known {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let answer = self.attempt(call, script, connection).await;
        match &answer {
            Ok(_) => self.together(),
            // A connection on which nothing comes may be dead.
            Err(Alone) if *self.standing.borrow() != Standing::Together => *self.connection.lock() = None,
            Err(Alone) => {}
        }
        answer
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Alone> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            // Each call has its own.
            .set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        match timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => {
                *self.connection.lock() = Some(connection.clone());
                Ok(connection)
            }
            Ok(Err(error)) => {
                self.alone(reason(&error));
                Err(Alone)
            }
            Err(_) => {
                self.alone("no connection within a second".to_owned());
                Err(Alone)
            }
        }
    }

    async fn attempt(
        &self,
        call: Call,
        script: &ScriptInvocation<'_>,
        mut connection: MultiplexedConnection,
    ) -> Result<Value, Alone> {
        let begun = Instant::now();
        let result = timeout(TIMEOUT, script.invoke_async::<Value>(&mut connection)).await;
        self.counters.latency.observe(begun.elapsed());
        match result {
            Ok(Ok(value)) => {
                self.counters.answered(call);
                *self.in_a_row.lock() = 0;
                Ok(value)
            }
            Ok(Err(error)) => {
                self.counters.failed(call);
                if error.is_unrecoverable_error() {
                    *self.connection.lock() = None;
                    self.alone(reason(&error));
                } else {
                    self.failed(|| reason(&error));
                }
                Err(Alone)
            }
            Err(_) => {
                self.counters.timed_out(call);
                self.failed(|| format!("no answer within {} ms", TIMEOUT.as_millis()));
                Err(Alone)
            }
        }
    }

    /// An answer was not what the script says.
    pub(super) fn nonsense(&self) -> Alone {
        self.failed(|| "it answers nonsense".to_owned());
        Alone
    }

    fn together(&self) {
        match self.standing() {
            Standing::Together => return,
            Standing::Starting => {
                tracing::info!("Redis answers: budget and states are shared with other replicas");
            }
            Standing::Alone(_) => {
                // Before the standing: no call may come between.
                self.returned.store(true, Ordering::Relaxed);
                tracing::info!("Redis answers again: this process is no longer alone");
            }
        }
        self.standing.send_replace(Standing::Together);
    }

    fn failed(&self, why: impl FnOnce() -> String) {
        let is_open = {
            let mut in_a_row = self.in_a_row.lock();
            *in_a_row = in_a_row.saturating_add(1);
            *in_a_row >= FAILURES
        };
        if is_open {
            self.alone(why());
        }
    }

    fn alone(&self, why: String) {
        let is_news = self.standing.send_if_modified(|standing| {
            let is_news = !matches!(standing, Standing::Alone(_));
            *standing = Standing::Alone(why.clone());
            is_news
        });
        if is_news {
            self.lost.notify_one();
            tracing::warn!(
                reason = %why,
                "Redis (shared.redis_url) cannot be used: this process is alone, with its part of the budget; it tries \
                 again each second, and clients notice nothing but longer waits"
            );
        }
    }
}

/// What is wrong, and what helps. Nothing of the address, which may hold a password.
fn reason(error: &RedisError) -> String {
    let cure = match error.code() {
        Some("NOAUTH") => "write user and password into shared.redis_url",
        Some("WRONGPASS") => "user or password in shared.redis_url is wrong",
        Some("NOPERM") => "the user of shared.redis_url may not run scripts or use these keys and channels",
        Some("READONLY") => "shared.redis_url names a replica; name the primary",
        Some("OOM") => "its maxmemory is reached; raise it, or set maxmemory-policy to allkeys-lru",
        Some("WRONGTYPE") => "another program uses the same keys; set another shared.namespace",
        Some("LOADING") => "it is still loading its data",
        Some(code) => return format!("it answers {code}"),
        None if error.kind() == ErrorKind::AuthenticationFailed => {
            "user or password in shared.redis_url is wrong"
        }
        None if error.is_connection_refusal() => {
            "nobody listens there; start it, or correct shared.redis_url"
        }
        None if error.is_timeout() => "no answer in time",
        None if error.is_io_error() => "the connection was lost, or there is none",
        None => return error.category().to_owned(),
    };
    match error.code() {
        Some(code) => format!("it answers {code}: {cure}"),
        None => cure.to_owned(),
    }
}
