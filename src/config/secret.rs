//! Owns the type of the upstream's API key: it can be used, but not printed.

use std::fmt;
use std::sync::Arc;

/// The upstream's API key. `Debug` shows `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Arc<str>);

impl ApiKey {
    /// Takes the key as it is to be sent.
    pub fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The key itself, for the one request header it belongs in.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
