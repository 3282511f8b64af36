//! Owns `taskgate token`.

use super::command_error::CommandError;
use super::terminal::tell;
use crate::core::hex;
use crate::core::token;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Name of the program that gets the token: up to 64 of A-Z a-z 0-9 . - _
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let token = token::random().ok_or(CommandError::NoRandomness)?;
    let hash = hex::encode(&token::hash(&token));
    tell(&format!(
        "The token for the program, which is shown only this once:\n  {token}\n\
         The line for the token file (access.token_file); the gateway needs no restart:\n  {} {hash}",
        arguments.name
    ));
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    if token::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 64 of A-Z a-z 0-9 - _ . and does not begin as tokens do (tg_)".to_owned())
    }
}
