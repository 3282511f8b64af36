//! Owns the syntax of the address of the upstream and of the headers of a request.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::fault::looks_like_key;
use super::reader::KEY_CURE;
use super::value::{Parsed, Value, wrong};

/// Headers that the gateway or its HTTP client sets itself, or that would change the form of an answer.
const OWN_HEADERS: [&str; 13] = [
    "authorization",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "cookie",
    "accept-encoding",
    "range",
    "proxy-authorization",
    "expect",
];

/// Headers that the gateway sets, but that settings may change.
const OFTEN_FIXED: [&str; 2] = ["accept", "user-agent"];

/// The upstream's URL. Plain http is allowed to any host, as it is usual in private networks.
pub(super) fn base_url(value: &Value) -> Parsed<Url> {
    const CURE: &str = "write one such as \"https://api.lemondata.cc\"";
    let text = value.text("https://api.lemondata.cc")?;
    let begin = text.get(..8).unwrap_or(text).to_lowercase();
    if !begin.starts_with("http://") && !begin.starts_with("https://") {
        return wrong(format!("does not begin with https:// or http://; {CURE}"));
    }
    let Ok(mut url) = Url::parse(text) else {
        // A URL that cannot be parsed may hold a password anywhere, so the fault does not show it.
        return wrong(format!("cannot be read as a URL; {CURE}"));
    };
    let mut faults = Vec::new();
    if !url.username().is_empty() || url.password().is_some() {
        faults.push(format!("holds a user or password; delete what stands before the @, and {KEY_CURE}"));
    }
    if url.query().is_some() {
        faults.push("holds a query; delete the ? and what follows".to_owned());
    }
    if url.fragment().is_some() {
        faults.push("holds a fragment; delete the # and what follows".to_owned());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// The name of the header that carries the key.
pub(super) fn auth_header(value: &Value) -> Parsed<HeaderName> {
    let text = value.text("Authorization")?;
    if looks_like_key(text) {
        return wrong(format!(
            "this is the place of a header's name, such as \"x-goog-api-key\"; {KEY_CURE}"
        ));
    }
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(http::header::AUTHORIZATION) => Ok(http::header::AUTHORIZATION),
        Ok(name) if OWN_HEADERS.contains(&name.as_str()) || OFTEN_FIXED.contains(&name.as_str()) => {
            wrong(format!("{value} has a meaning of its own; write \"Authorization\" or \"x-goog-api-key\""))
        }
        Ok(name) => Ok(name),
        Err(_) => wrong(format!("{value} is not the name of a header; write \"Authorization\"")),
    }
}

/// The authentication scheme, which precedes the key in its header.
pub(super) fn auth_scheme(value: &Value) -> Parsed<String> {
    let text = value.text("Bearer")?;
    if looks_like_key(text) {
        return wrong(format!("this is the place of a word such as \"Bearer\"; {KEY_CURE}"));
    }
    // A token of RFC 9110, 5.6.2.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.bytes().all(is_token) {
        return wrong(format!(
            "{value} is not one word of letters and digits; write one such as \"Bearer\", or \"\" for the key alone"
        ));
    }
    Ok(text.to_owned())
}

/// Fixed headers. A value whose header name suggests a secret is marked as sensitive, and so never printed.
pub(super) fn headers(value: &Value) -> Parsed<Vec<(HeaderName, HeaderValue)>> {
    let (mut good, mut faults) = (Vec::<(HeaderName, HeaderValue)>::new(), Vec::new());
    for (name, text) in value.pairs()? {
        match header(name, text) {
            Ok((name, _)) if good.iter().any(|(other, _)| *other == name) => {
                faults.push(format!("{name} comes twice; delete one of the two"));
            }
            Ok(pair) => good.push(pair),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(faults) }
}

fn header(name: &str, text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(format!("{name:?} is not the name of a header; write one such as X-Team"));
    };
    if parsed == http::header::AUTHORIZATION {
        return Err(format!("{name} is the gateway's own; delete it, and {KEY_CURE}"));
    }
    if OWN_HEADERS.contains(&parsed.as_str()) {
        return Err(format!("{name} is the gateway's own; delete it"));
    }
    if looks_like_key(text) {
        return Err(format!("the value of {name} looks like the API key; delete it, and {KEY_CURE}"));
    }
    // `HeaderValue` accepts bytes beyond ASCII, but receivers do not agree on their encoding.
    let Some(mut value) = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii()) else {
        return Err(format!("the value of {name} may only hold visible ASCII characters; write it so"));
    };
    let telling = ["key", "token", "secret", "auth", "password", "signature"];
    value.set_sensitive(telling.iter().any(|word| parsed.as_str().contains(word)));
    Ok((parsed, value))
}
