//! Owns what a command takes from the process: nothing below reads the environment by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{Faults, Sources};

/// The environment variables and the working directory of the process. `main` reads them; all other code takes them
/// from here.
#[derive(Debug)]
pub struct Surroundings {
    /// All environment variables.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub dir: PathBuf,
}

impl Surroundings {
    /// The file and the variables that the settings are made from.
    pub(super) fn sources(&self, flag: Option<&Path>) -> Result<Sources, Faults> {
        Sources::gather(flag, self.env.iter().cloned(), &self.dir)
    }
}
