//! Owns the ways in which a command fails, and the exit code of each.

use std::process::ExitCode;

use thiserror::Error;

use crate::app::StartError;
use crate::app::listeners::ListenError;
use crate::config::Faults;

/// The failure of a command.
#[derive(Debug, Error)]
pub(super) enum CommandError {
    #[error("{0}")]
    Settings(#[from] Faults),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("not ready: {0}")]
    NotReady(String),
    #[error("the system has no random numbers to give; try again")]
    NoRandomness,
    #[error(
        "there is no secret to sign with: name a file in access.ticket_secret_file \
         (TASKGATE_ACCESS__TICKET_SECRET_FILE) that holds one, such as `openssl rand -hex 32` prints"
    )]
    NoTicketSecret,
    #[error("the ticket would be longer than the gateway takes (8 KiB): name fewer tasks in it")]
    TicketTooLong,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl CommandError {
    /// The exit code that it ends the process with.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) | Self::NoTicketSecret => ExitCode::from(78),
            Self::TicketTooLong => ExitCode::from(2),
            Self::Start(_) | Self::Listen(_) | Self::NotReady(_) | Self::NoRandomness | Self::Io(_) => {
                ExitCode::FAILURE
            }
        }
    }
}
