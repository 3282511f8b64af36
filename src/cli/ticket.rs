//! Owns `taskgate ticket`.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::command_error::CommandError;
use super::surroundings::Surroundings;
use super::terminal::tell;
use crate::config;
use crate::core::task::{PathFault, is_task_id};
use crate::core::ticket::{Claims, LONGEST, LONGEST_LIFE, LONGEST_USER};
use crate::core::time::seconds_up;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ids of the tasks that the ticket opens
    #[arg(value_name = "TASK_ID", required = true, num_args = 1..=100, value_parser = id)]
    tasks: Vec<String>,
    /// Lifetime of the ticket, at most 24h
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = life)]
    ttl: Duration,
    /// User of the ticket, who counts as one client in limits and turns
    #[arg(long, value_name = "USER", value_parser = user)]
    sub: Option<String>,
    /// Allow the ticket to cancel its tasks, if `access.allow_cancel` is true
    #[arg(long)]
    cancel: bool,
}

pub(super) fn run(
    flag: Option<&Path>,
    surroundings: Surroundings,
    arguments: Arguments,
) -> Result<(), CommandError> {
    let secrets = config::ticket_secrets(&surroundings.sources(flag)?)?;
    #[expect(clippy::disallowed_methods, reason = "the clock is handed in here")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Arguments { tasks, ttl, sub, cancel } = arguments;
    let end = now + ttl;
    let claims = Claims { tasks, exp: seconds_up(end), sub, cancel };
    let ticket = secrets.sign(&claims).ok_or(CommandError::NoTicketSecret)?;
    if ticket.len() > LONGEST {
        return Err(CommandError::TicketTooLong);
    }
    tell(&ticket);
    Ok(())
}

fn id(text: &str) -> Result<String, String> {
    if is_task_id(text) { Ok(text.to_owned()) } else { Err(PathFault::InvalidId.to_string()) }
}

fn user(text: &str) -> Result<String, String> {
    if (1..=LONGEST_USER).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("a user's name is 1 to 256 bytes".to_owned())
    }
}

fn life(text: &str) -> Result<Duration, String> {
    let life = humantime::parse_duration(text).map_err(|error| format!("{error}; write 15m, 2h or 90s"))?;
    if (Duration::from_secs(1)..=LONGEST_LIFE).contains(&life) {
        Ok(life)
    } else {
        Err("a ticket lasts from 1s to 24h".to_owned())
    }
}
