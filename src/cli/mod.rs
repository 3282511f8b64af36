//! Owns the command line: what can be asked of the program, and with which exit code it answers.
//!
//! 0 done or shut down cleanly · 1 failed while running · 2 used wrongly · 78 settings at fault (`EX_CONFIG`).

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
    /// The settings file; without it `TASKGATE_CONFIG`, then ./config.toml, then defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default). The key comes from `LEMONDATA_API_KEY` or `LEMONDATA_API_KEY_FILE`
    Serve,
    /// Check the settings and print the effective ones, secrets shown as ***
    Check,
    /// Exit 0 if the gateway with these settings is ready, else 1: for Docker's HEALTHCHECK
    Healthcheck,
    /// Print a signed ticket with which a browser reads these tasks
    Ticket(ticket::Arguments),
    /// Print a new token for a program, and the line that lets it in
    Token(token::Arguments),
    /// Run a LemonData look-alike for offline work: no account, no cost
    Sandbox(sandbox::Arguments),
    /// Run sandbox and gateway together with a few tasks under way, and print what to try
    Demo(demo::Arguments),
}

impl Arguments {
    /// Carries the command out, until it is done.
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
