//! Owns what the program writes to the terminal beside its log.

use std::io::Write as _;

use super::command_error::CommandError;

/// Writes a line to standard output. A closed pipe is no failure of the command.
pub(super) fn tell(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The reason why a command has failed.
pub(super) fn tell_error(error: &CommandError) {
    let _ = writeln!(std::io::stderr().lock(), "taskgate: {error}");
}
