//! Owns the failure to set up the upstream's client.

use thiserror::Error;

/// The failure to set up the upstream's client. It never shows the key.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The key holds characters that a header cannot carry.
    #[error(
        "the API key holds characters that no HTTP header can carry: check the variable or file it comes from"
    )]
    Key,
    /// TLS, or the system's root certificates.
    #[error("the HTTPS client cannot be set up: {0}; install the system's CA certificates")]
    Client(#[source] reqwest::Error),
}
