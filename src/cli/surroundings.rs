//! Owns what a command takes from the process: nothing below reads the environment by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{Faults, Sources};

/// Environment and working directory.
#[derive(Debug)]
pub struct Surroundings {
    /// All variables.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub dir: PathBuf,
}

impl Surroundings {
    /// What the settings are made from.
    pub(super) fn sources(&self, flag: Option<&Path>) -> Result<Sources, Faults> {
        Sources::gather(flag, self.env.iter().cloned(), &self.dir)
    }
}
