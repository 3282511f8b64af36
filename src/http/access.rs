//! Owns who may read: the only place that issues a [`Grant`].

use super::error::Error;
use crate::config::{self, AccessMode};
use crate::core::grant::{Client, Grant};
use crate::core::task::TaskKey;

/// The access rules.
pub(super) struct Access {
    mode: AccessMode,
}

impl Access {
    pub(super) fn new(settings: &config::Access) -> Self {
        Self { mode: settings.mode }
    }

    /// Judges a request for a key. In open mode whoever reaches the port may read, whatever
    /// `Authorization` it sends: scripts written for the upstream go on sending theirs. In protected mode
    /// nobody may, as long as there is nothing to show.
    pub(super) fn grant(&self, key: TaskKey, client: Client) -> Result<Grant, Error> {
        match self.mode {
            AccessMode::Open => Ok(Grant::issue(key, client)),
            AccessMode::Protected => Err(Error::MissingCredentials),
        }
    }
}
