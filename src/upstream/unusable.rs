//! Owns why an answer cannot be used, in words that name the cure: most often the settings name another address than
//! the API's.

use std::fmt;

use http::{HeaderValue, StatusCode};
use url::Url;

/// The most that is shown of an address or a cause, in characters.
const MOST_SHOWN: usize = 200;

/// Why an answer cannot be used. Shown to operators only, as it may name the upstream's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There was no connection; with the cause.
    NoConnection(String),
    /// A 3xx. It is never followed: it could lead the key to another host.
    Redirect { status: u16, to: Option<Destination> },
    /// A 2xx or 4xx with a web page.
    WebPage(u16),
    /// A 2xx or 4xx with something else that is not complete JSON.
    NotJson(u16),
    /// A 404 without JSON: no API answers here.
    UnknownPath,
    /// A 403: whoever asks is not let in.
    Forbidden,
    /// Encoded, although `identity` was asked for; with the coding.
    Encoded(String),
    /// Larger than `upstream.max_body`.
    TooLarge,
    /// A 2xx with JSON that holds no status, and is an error or no object.
    NoState(u16),
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// To the same path elsewhere: this is the `base_url` to write.
    BaseUrl(String),
    /// To another path.
    Elsewhere(String),
}

impl Unusable {
    /// The redirect of a request to `url`, whose path ends with `path`.
    pub(super) fn redirect(status: StatusCode, location: Option<&str>, url: &Url, path: &str) -> Self {
        let to = location.and_then(|location| Destination::new(url.join(location).ok()?, path));
        Self::Redirect { status: status.as_u16(), to }
    }

    /// An answer that is not complete JSON.
    pub(super) fn not_json(status: StatusCode, is_page: bool) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::UnknownPath,
            _ if is_page => Self::WebPage(status.as_u16()),
            _ => Self::NotJson(status.as_u16()),
        }
    }

    /// An answer in a coding that was not asked for.
    pub(super) fn encoded(coding: &[u8]) -> Self {
        Self::Encoded(shown(&String::from_utf8_lossy(coding)))
    }
}

/// Whether a body is a web page, by the content type or the first byte.
pub(super) fn is_page(content_type: Option<&HeaderValue>, body: &[u8]) -> bool {
    let is_html = |text: &str| text.to_ascii_lowercase().contains("html");
    content_type.and_then(|value| value.to_str().ok()).is_some_and(is_html)
        || body.trim_ascii_start().starts_with(b"<")
}

impl Destination {
    fn new(mut url: Url, path: &str) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        // These may hold what is nobody's business; a failure leaves a URL that has none of them.
        url.set_query(None);
        url.set_fragment(None);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(match url.as_str().strip_suffix(path) {
            Some(base) => Self::BaseUrl(shown(base)),
            None => Self::Elsewhere(shown(url.as_str())),
        })
    }
}

/// The first characters of a text, without those that would break a line of a log.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SHOWN).collect()
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection(cause) => {
                let hint = hint(cause);
                write!(f, "there is no connection to the upstream ({}); {hint}", shown(cause))
            }
            Self::Redirect { status, to: Some(Destination::BaseUrl(base)) } => write!(
                f,
                "the upstream redirects ({status}), which is not followed; write upstream.base_url = {base:?}"
            ),
            Self::Redirect { status, to: Some(Destination::Elsewhere(url)) } => write!(
                f,
                "the upstream redirects ({status}) to {url}, which is not followed; check upstream.base_url and \
                 upstream.routes"
            ),
            Self::Redirect { status, to: None } => {
                write!(f, "the upstream redirects ({status}), which is not followed; check upstream.base_url")
            }
            Self::WebPage(status) => write!(
                f,
                "the upstream answers with a web page ({status}) and not with JSON: upstream.base_url may be that of a \
                 web site; write that of the API"
            ),
            Self::NotJson(status) => write!(
                f,
                "the upstream's answer ({status}) is not JSON; check upstream.base_url and upstream.routes"
            ),
            Self::UnknownPath => f.write_str(
                "the upstream answers 404 without JSON: it may not have this path; check upstream.routes and \
                 upstream.base_url",
            ),
            Self::Forbidden => f.write_str(
                "the upstream forbids the request (403): the account may be locked, the key may lack a right, or the \
                 upstream may not serve this address; check the account",
            ),
            Self::Encoded(coding) => write!(
                f,
                "the upstream's answer is encoded ({coding}) although none was asked for; turn compression off at the \
                 upstream or the proxy before it"
            ),
            Self::TooLarge => f.write_str("the upstream's answer is too large; raise upstream.max_body"),
            Self::NoState(status) => write!(
                f,
                "the upstream's answer ({status}) is JSON, but no state of a task; check upstream.base_url, \
                 upstream.routes and upstream.status_pointer"
            ),
        }
    }
}

/// What helps against a cause that the network or TLS gives.
fn hint(cause: &str) -> &'static str {
    if cause.contains("CaUsedAsEndEntity") {
        "the upstream's certificate is that of a CA itself: issue a leaf certificate for the upstream, and name the \
         CA's in upstream.ca_file"
    } else if cause.contains("UnknownIssuer") {
        "the upstream's certificate is by a CA that this system does not know: name the CA's certificate in \
         upstream.ca_file"
    } else if cause.contains("not valid for name") {
        "the upstream's certificate is for another name: write that name in upstream.base_url"
    } else if cause.contains("InvalidContentType") || cause.contains("corrupt message") {
        "the upstream does not speak TLS at this port: write http:// in upstream.base_url, or another port"
    } else {
        "check upstream.base_url and the network"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_tells_what_to_write() {
        let url = Url::parse("http://api.example.com/v1/tasks/a").unwrap();
        let says =
            |location| Unusable::redirect(StatusCode::FOUND, Some(location), &url, "/v1/tasks/a").to_string();
        for (location, part) in [
            ("https://api.example.com/v1/tasks/a", r#"write upstream.base_url = "https://api.example.com""#),
            ("https://b.example/x/v1/tasks/a?k=1", r#"write upstream.base_url = "https://b.example/x""#),
            ("/login?next=%2Fv1", "to http://api.example.com/login, which"),
            ("//u:p@b.example/sign-in#x", "to http://b.example/sign-in, which"),
            ("javascript:alert(1)", "(302), which is not followed; check upstream.base_url"),
            ("", r#"write upstream.base_url = "http://api.example.com""#),
        ] {
            let text = says(location);
            assert!(text.contains(part), "{location}: {text}");
            assert!(!text.contains("k=1") && !text.contains("u:p"), "{text}");
        }
    }

    #[test]
    fn what_is_shown_of_an_address_is_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[1m").lines().count(), 1);
        assert_eq!(shown(&"x".repeat(10_000)).len(), MOST_SHOWN);
    }
}
