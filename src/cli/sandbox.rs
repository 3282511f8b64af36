//! Owns `taskgate sandbox`.

use std::net::SocketAddr;

use tokio::time::Duration;

use super::command_error::CommandError;
use super::signals::Stop;
use super::terminal::tell;
use crate::app::listeners;
use crate::config::{Log, LogFormat};
use crate::lifecycle::Lifecycle;
use crate::sandbox::{Options, Sandbox};
use crate::server::{self, ConnectionLimits};
use crate::telemetry;

/// Connection limits of the sandbox: fixed, as it serves one developer.
pub(super) const LIMITS: ConnectionLimits = ConnectionLimits {
    max_connections: 4096,
    header_read_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(75),
    write_stall_timeout: Duration::from_secs(30),
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Address of the sandbox
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// Log level: error, warn, info (each create) or debug (each request)
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), CommandError> {
    let _log = telemetry::log::start(&Log { format: LogFormat::Text, filter: arguments.log, access: false });
    let stop = Stop::listen()?;
    let lifecycle = Lifecycle::default();
    let listener = listeners::listen(arguments.listen, "--listen").await?;
    let address = listener.local_addr()?;
    let key = arguments.options.api_key.clone();
    let sandbox = Sandbox::new(arguments.options);
    drop(lifecycle.spawn(server::serve(listener, sandbox.router(), LIMITS, lifecycle.clone())));
    tell(&format!(
        "The sandbox serves LemonData's task API at http://{address} and accepts the key {key}.\n\
         Create a task:\n  \
         curl http://{address}/v1/videos/generations -H 'Authorization: Bearer {key}' \\\n    \
         -H 'Content-Type: application/json' -d '{{\"prompt\":\"a lemon tree in the rain\"}}'\n\
         Put the gateway in front of it:\n  \
         LEMONDATA_API_KEY={key} TASKGATE_UPSTREAM__BASE_URL=http://{address} \
         TASKGATE_ACCESS__MODE=open taskgate serve"
    ));
    stop.asked().await;
    lifecycle.stop();
    lifecycle.drained(Duration::from_secs(2)).await;
    Ok(())
}
