//! Owns the command line: flags, subcommands, and exit codes.
//!
//! Exit codes: 0 success or clean shutdown · 1 failure while running · 2 wrong usage · 78 faults in the
//! settings (`EX_CONFIG` of sysexits.h).

mod check;
mod demo;
mod healthcheck;
mod open_files;
mod reload;
mod sandbox;
mod serve;
mod signals;
mod ticket;
mod token;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thiserror::Error;

use crate::app::StartError;
use crate::app::listeners::ListenError;
use crate::config::{Faults, Sources};

/// A local gateway in front of an async-task API: many pollers, one rate-limited key, and the key stays
/// on the server.
#[derive(Debug, Parser)]
#[command(name = "taskgate", version, max_term_width = 100)]
pub struct Arguments {
    /// Settings file (default: the file in `TASKGATE_CONFIG`, else ./config.toml if it exists)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default). The API key comes from `LEMONDATA_API_KEY` or `LEMONDATA_API_KEY_FILE`
    Serve,
    /// Check the settings and print those in effect, secrets shown as ***
    Check,
    /// Exit with 0 if the gateway with these settings is ready, else with 1 (for Docker's HEALTHCHECK)
    Healthcheck,
    /// Print a signed ticket that lets a browser read these tasks
    Ticket(ticket::Arguments),
    /// Print a new token for a program, and its line for the token file
    Token(token::Arguments),
    /// Run a simulated LemonData for offline work: no account, no cost
    Sandbox(sandbox::Arguments),
    /// Run sandbox and gateway with a few tasks under way, and print commands to try
    Demo(demo::Arguments),
}

/// The environment variables and the working directory of the process. `main` reads them; all other code
/// takes them from here.
#[derive(Debug)]
pub struct Surroundings {
    /// All environment variables.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub dir: PathBuf,
}

/// The failure of a command.
#[derive(Debug, Error)]
enum CommandError {
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
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) | Self::NoTicketSecret => ExitCode::from(78),
            Self::TicketTooLong => ExitCode::from(2),
            Self::Start(_) | Self::Listen(_) | Self::NotReady(_) | Self::NoRandomness | Self::Io(_) => {
                ExitCode::FAILURE
            }
        }
    }
}

impl Arguments {
    /// Runs the subcommand to its end.
    pub async fn run(self, surroundings: Surroundings) -> ExitCode {
        let result = match self.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(self.config.as_deref(), surroundings).await,
            Command::Check => check::run(self.config.as_deref(), surroundings),
            Command::Healthcheck => healthcheck::run(self.config.as_deref(), surroundings).await,
            Command::Ticket(arguments) => ticket::run(self.config.as_deref(), surroundings, arguments),
            Command::Token(arguments) => token::run(&arguments),
            Command::Sandbox(arguments) => sandbox::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let code = error.exit_code();
                tell_error(&error);
                code
            }
        }
    }
}

impl Surroundings {
    fn sources(&self, flag: Option<&Path>) -> Result<Sources, Faults> {
        Sources::gather(flag, self.env.iter().cloned(), &self.dir)
    }
}

/// Writes a line to standard output. A closed pipe is no failure of the command.
fn tell(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn tell_error(error: &CommandError) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "taskgate: {error}");
}
