//! Owns the API key in a form for requests: the headers that carry it, and the scrub that removes it from answers.

use http::{HeaderMap, HeaderValue, header};

use super::scrub::Scrub;
use super::setup_error::SetupError;
use crate::config::{self, ApiKey};

/// The key, the headers that carry it, and the scrub that removes it from answers.
pub(super) struct Credentials {
    /// All headers of a request.
    pub(super) headers: HeaderMap,
    pub(super) scrub: Scrub,
    pub(super) key: ApiKey,
}

impl Credentials {
    /// `before` are earlier keys, which answers under way may still echo.
    pub(super) fn new(settings: &config::Upstream, before: &[ApiKey]) -> Result<Self, SetupError> {
        let text = format!("{} {}", settings.auth_scheme, settings.api_key.expose());
        let mut credentials = HeaderValue::try_from(text.trim_start()).map_err(|_| SetupError::Key)?;
        credentials.set_sensitive(true);
        let mut headers = fixed_headers(settings);
        headers.insert(&settings.auth_header, credentials);
        let keys: Vec<ApiKey> = before.iter().chain([&settings.api_key]).cloned().collect();
        Ok(Self { headers, scrub: Scrub::new(&keys), key: settings.api_key.clone() })
    }
}

/// The headers of every request, except the one that carries the key.
fn fixed_headers(settings: &config::Upstream) -> HeaderMap {
    let mut headers: HeaderMap = settings.headers.iter().cloned().collect();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    // Without it any coding is acceptable (RFC 9110, 12.5.3).
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("taskgate/", env!("CARGO_PKG_VERSION"))));
    headers
}
