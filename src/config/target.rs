//! Owns the syntax of the upstream's settings: its URL, its status paths, the headers of a request, the
//! status pointer and the terminal statuses.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::fault::looks_like_key;
use super::reader::KEY_CURE;
use super::units::{list, some};
use super::value::{Parsed, Value, wrong};
use crate::core::task::{Route, Routes};

/// Paths that the gateway answers itself.
const OWN_PATHS: [&str; 2] = ["/livez", "/v1/tasks"];

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

/// Status paths, at least one.
pub(super) fn routes(value: &Value) -> Parsed<Routes> {
    const EXAMPLE: &str = "/v1/tasks/{id}";
    some(EXAMPLE, list(EXAMPLE, route))(value).map(Routes::new)
}

fn route(text: &str) -> Result<Route, String> {
    let route = Route::parse(text)
        .map_err(|fault| format!("{text:?} {fault}; write one such as \"/v1/tasks/{{id}}\""))?;
    let alone = Routes::new(vec![route.clone()]);
    match OWN_PATHS.iter().find(|path| alone.find(path).is_ok()) {
        Some(path) => Err(format!(
            "{text:?} would also take {path}, which the gateway answers itself; write a longer path"
        )),
        None => Ok(route),
    }
}

/// The authentication scheme, which precedes the key in `Authorization`.
pub(super) fn auth_scheme(value: &Value) -> Parsed<String> {
    let text = value.text("Bearer")?;
    if looks_like_key(text) {
        return wrong(format!("this is the place of a word such as \"Bearer\"; {KEY_CURE}"));
    }
    // A token of RFC 9110, 5.6.2.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(is_token) {
        return wrong(format!("{value} is not one word of letters and digits; write one such as \"Bearer\""));
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

/// The status pointer: the place of the status in an answer (RFC 6901).
pub(super) fn pointer(value: &Value) -> Parsed<String> {
    let text = value.text("/status")?;
    if !text.is_empty() && !text.starts_with('/') {
        return wrong(format!("{value} does not begin with a slash; write {:?}", format!("/{text}")));
    }
    if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return wrong(format!("{value} has a ~ without 0 or 1; write ~0 for ~, and ~1 for / inside a name"));
    }
    Ok(text.to_owned())
}

/// The statuses of ended tasks, in lower case.
pub(super) fn statuses(value: &Value) -> Parsed<Vec<String>> {
    some(
        "completed",
        list("completed", |text| {
            if text.is_empty() {
                return Err("holds an empty status; delete it".to_owned());
            }
            if text.trim() != text {
                return Err(format!("{text:?} has blanks around it; write {:?}", text.trim()));
            }
            Ok(text.to_lowercase())
        }),
    )(value)
}
