//! Owns `taskgate check`.

use std::path::Path;

use super::command_error::CommandError;
use super::surroundings::Surroundings;
use super::terminal::tell;
use crate::config;

pub(super) fn run(flag: Option<&Path>, surroundings: Surroundings) -> Result<(), CommandError> {
    let settings = config::load(&surroundings.sources(flag)?)?;
    tell(config::render(&settings).trim_end());
    Ok(())
}
