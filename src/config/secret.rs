//! Owns the type of the upstream's API key, which can be used but not printed.

use std::fmt;
use std::sync::Arc;

/// The upstream's API key. `Debug` shows `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Arc<str>);

impl ApiKey {
    /// The key as it is sent, without its scheme.
    pub fn new(key: &str) -> Self {
        Self(key.into())
    }

    /// The text of the key, for `Authorization` and for searches that mask it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
