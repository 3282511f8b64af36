//! Owns why an answer cannot be used, in words that name the cure: most often the settings name another address than
//! the API's.

use std::fmt;

use http::{HeaderValue, StatusCode};
use url::Url;

use crate::core::task::TaskKey;

/// The most that is shown of an address or a cause, in characters.
const MOST_SHOWN: usize = 200;

/// Why an answer cannot be used. Shown to operators only, as it may name the upstream's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    reason: Reason,
    /// What the upstream or the network says of it: a cause, an address, a coding.
    detail: Option<String>,
}

/// The kind of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Nothing came that is an answer.
    NoAnswer,
    /// A 3xx that leads to the same path elsewhere: the detail is the `base_url` to write.
    Moved(u16),
    /// Another 3xx. None is ever followed: it could lead the key to another host.
    Redirect(u16),
    /// A status code that answers no plain request.
    OddStatus(u16),
    /// A 2xx or 4xx with a web page.
    WebPage(u16),
    /// A 2xx or 4xx with something else that is not complete JSON.
    NotJson(u16),
    /// A 404 without JSON: no API answers here.
    UnknownPath,
    /// A 403: whoever asks is not let in.
    Forbidden,
    /// Encoded, although `identity` was asked for.
    Encoded,
    /// Larger than `upstream.max_body`.
    TooLarge,
    /// A 2xx with JSON that is an error or no object, and holds no status.
    NoState(u16),
    /// A 2xx with an object without a status.
    NoStatus,
}

impl Unusable {
    /// A request without an answer, for this cause.
    pub(super) fn no_answer(cause: &str) -> Self {
        Self { reason: Reason::NoAnswer, detail: Some(shown(cause)) }
    }

    /// A status code below 200 or from 300 to 399, which came for this task from `url`.
    pub(super) fn redirect(status: StatusCode, location: Option<&str>, url: &Url, task: &TaskKey) -> Self {
        let code = status.as_u16();
        if !matches!(code, 301 | 302 | 303 | 307 | 308) {
            return Self { reason: Reason::OddStatus(code), detail: None };
        }
        let to = location.and_then(|location| url.join(location).ok()).and_then(public);
        let Some(to) = to.filter(|to| to.as_str().len() <= MOST_SHOWN) else {
            return Self { reason: Reason::Redirect(code), detail: None };
        };
        match to.as_str().strip_suffix(task.path()) {
            Some(_) if to == *url => Self {
                reason: Reason::Redirect(code),
                detail: Some("itself, as walls of cookies do".to_owned()),
            },
            Some(_) if to.scheme() == "http" && url.scheme() == "https" => Self {
                reason: Reason::Redirect(code),
                detail: Some("plain http, where the key would be readable".to_owned()),
            },
            Some(base) => Self { reason: Reason::Moved(code), detail: Some(shown(base)) },
            None => {
                let to = shown(&to.as_str().replace(task.id(), "{id}"));
                Self { reason: Reason::Redirect(code), detail: Some(to) }
            }
        }
    }

    /// An answer that is not complete JSON.
    pub(super) fn not_json(status: StatusCode, is_page: bool) -> Self {
        Self::from(match status {
            StatusCode::NOT_FOUND => Reason::UnknownPath,
            StatusCode::FORBIDDEN => Reason::Forbidden,
            _ if is_page => Reason::WebPage(status.as_u16()),
            _ => Reason::NotJson(status.as_u16()),
        })
    }

    /// An answer in a coding that was not asked for.
    pub(super) fn encoded(coding: &[u8]) -> Self {
        Self { reason: Reason::Encoded, detail: Some(shown(&String::from_utf8_lossy(coding))) }
    }

    /// The kind of the reason.
    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    /// The same without the upstream's own words where `is_secret` says so.
    pub(super) fn without(self, is_secret: impl Fn(&str) -> bool) -> Self {
        let detail = self.detail.filter(|detail| !is_secret(detail));
        match (self.reason, &detail) {
            (Reason::Moved(code), None) => Self { reason: Reason::Redirect(code), detail },
            (reason, _) => Self { reason, detail },
        }
    }
}

impl From<Reason> for Unusable {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None }
    }
}

/// Whether a body is a web page, by the content type or the first byte.
pub(super) fn is_page(content_type: Option<&HeaderValue>, body: &[u8]) -> bool {
    let is_html = |text: &str| text.to_ascii_lowercase().contains("html");
    content_type.and_then(|value| value.to_str().ok()).is_some_and(is_html)
        || body.trim_ascii_start().starts_with(b"<")
}

/// A web address without what is nobody's business. A failure to remove it leaves an address that has none.
fn public(mut url: Url) -> Option<Url> {
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// The first characters of a text in which nothing is invisible, or turns the direction of a line.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let mut shown: String = text.chars().map(plain).take(MOST_SHOWN).collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.as_deref();
        match self.reason {
            Reason::NoAnswer => {
                let cause = detail.unwrap_or_default();
                write!(f, "there is no answer from the upstream ({cause}); {}", hint(cause))
            }
            Reason::Moved(status) => write!(
                f,
                "the upstream redirects ({status}), which is not followed; write upstream.base_url = {:?}",
                detail.unwrap_or_default()
            ),
            Reason::Redirect(status) => {
                let to = detail.map_or(String::new(), |to| format!(" to {to}"));
                write!(
                    f,
                    "the upstream redirects ({status}){to}, which is not followed; check upstream.base_url and \
                     upstream.routes"
                )
            }
            Reason::OddStatus(status) => write!(
                f,
                "the upstream answers {status}, which answers no plain request; check upstream.base_url"
            ),
            Reason::WebPage(status) => write!(
                f,
                "the upstream answers with a web page ({status}) and not with JSON: upstream.base_url may be that of a \
                 web site; write that of the API"
            ),
            Reason::NotJson(status) => write!(
                f,
                "the upstream's answer ({status}) is not complete JSON; check upstream.base_url and upstream.routes"
            ),
            Reason::UnknownPath => f.write_str(
                "the upstream answers 404 without JSON: it may not have this path; check upstream.routes and \
                 upstream.base_url",
            ),
            Reason::Forbidden => f.write_str(
                "the upstream forbids the request (403): the account may be locked, the key may lack a right, or \
                 something before the API may not serve this machine; check the account",
            ),
            Reason::Encoded => {
                let coding = detail.unwrap_or("?");
                write!(
                    f,
                    "the upstream's answer is encoded ({coding}) although nothing was asked for; turn compression off at \
                     the upstream or the proxy before it"
                )
            }
            Reason::TooLarge => f.write_str("the upstream's answer is too large; raise upstream.max_body"),
            Reason::NoState(status) => write!(
                f,
                "the upstream's answer ({status}) is JSON, but no state of a task; check upstream.base_url, \
                 upstream.routes and upstream.status_pointer"
            ),
            Reason::NoStatus => f.write_str(
                "no answer of the upstream holds a status, so no task ever ends; check upstream.status_pointer",
            ),
        }
    }
}

/// What helps against a cause that the network, TLS or HTTP gives.
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
    } else if cause.contains("invalid HTTP version") {
        "the upstream does not speak HTTP/1.1 at this port: if it speaks TLS, write https:// in upstream.base_url"
    } else {
        "check upstream.base_url and the network"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::task::{Route, Routes};

    fn redirect(from: &str, location: &str) -> String {
        let url = Url::parse(&format!("{from}/v1/tasks/a17")).unwrap();
        let task = Routes::new(vec![Route::parse("/v1/tasks/{id}").unwrap()]).bare("a17").unwrap();
        Unusable::redirect(StatusCode::FOUND, Some(location), &url, &task).to_string()
    }

    #[test]
    fn a_redirect_tells_what_to_write() {
        for (location, part) in [
            (
                "https://api.example.com/v1/tasks/a17",
                r#"write upstream.base_url = "https://api.example.com""#,
            ),
            ("https://b.example/x/v1/tasks/a17?k=1", r#"write upstream.base_url = "https://b.example/x""#),
            ("/login?next=%2Fv1", "to http://api.example.com/login, which"),
            ("//u:p@b.example/sign-in#x", "to http://b.example/sign-in, which"),
            ("/v1/tasks/a17/", "to http://api.example.com/v1/tasks/{id}/, which"),
            ("javascript:alert(1)", "(302), which is not followed; check upstream.base_url"),
            ("", "to itself"),
        ] {
            let text = redirect("http://api.example.com", location);
            assert!(text.contains(part), "{location}: {text}");
            assert!(!text.contains("k=1") && !text.contains("u:p") && !text.contains("a17"), "{text}");
        }
        assert!(
            redirect("https://a.example", "http://a.example/v1/tasks/a17")
                .contains("the key would be readable")
        );
        let long = format!("https://{}.example/v1/tasks/a17", "a.".repeat(200));
        assert!(redirect("https://a.example", &long).contains("(302), which"));
    }

    #[test]
    fn what_is_shown_of_an_address_is_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[1m\u{202e}\u{2028}"), "a?b?[1m??");
        assert_eq!(shown(&"x".repeat(10_000)).chars().count(), MOST_SHOWN + 1);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let moved = Unusable { reason: Reason::Moved(301), detail: Some("https://sk-1.example".to_owned()) };
        let text = moved.without(|text| text.contains("sk-1")).to_string();
        assert!(!text.contains("sk-1") && text.contains("redirects (301), which"), "{text}");
    }
}
