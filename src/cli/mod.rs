//! Owns the command line: flags, subcommands, and exit codes.
//!
//! Exit codes: 0 success or clean shutdown · 1 failure while running · 2 wrong usage · 78 faults in the
//! settings (`EX_CONFIG` of sysexits.h).

mod check;
mod command_error;
mod demo;
mod healthcheck;
mod open_files;
mod reload;
mod sandbox;
mod serve;
mod signals;
mod surroundings;
mod terminal;
mod ticket;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::surroundings::Surroundings;

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
                terminal::tell_error(&error);
                code
            }
        }
    }
}
