//! Owns the syntax of the upstream's settings: its URL, its status paths, the headers of a request, the
//! status pointer and the terminal statuses.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::fault::looks_like_key;
use super::reader::KEY_CURE;
use super::settings::Reading;
use super::spelling::nearest;
use super::units::{flag, list, some};
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

/// Status paths, at least one. A path may stand alone, or in a table with what is special about it.
pub(super) fn routes(value: &Value) -> Parsed<Vec<(Route, Reading)>> {
    const EXAMPLE: &str = "/v1/tasks/{id}";
    let Some(items) = value.with_tables() else {
        let paths = some(EXAMPLE, list(EXAMPLE, route))(value)?;
        return Ok(paths.into_iter().map(|path| (path, Reading::default())).collect());
    };
    let (mut good, mut faults) = (Vec::<(Route, Reading)>::new(), Vec::new());
    for item in items {
        let read = match item {
            toml::Value::String(text) => {
                route(text).map(|route| (route, Reading::default())).map_err(|f| vec![f])
            }
            toml::Value::Table(table) => route_table(table),
            _ => wrong(format!("holds something that is neither a path nor a table; write {ROUTE_TABLE}")),
        };
        match read {
            Ok((path, _)) if good.iter().any(|(known, _)| *known == path) => {
                faults.push(format!("{:?} comes twice; delete one of the two", path.template()));
            }
            Ok(read) => good.push(read),
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() { Ok(good) } else { Err(faults) }
}

const ROUTE_TABLE: &str = "{ path = \"/v1/tasks/{id}\", status_pointer = \"/data/status\" }";

fn route_table(table: &toml::Table) -> Parsed<(Route, Reading)> {
    const NAMES: [&str; 4] = ["path", "status_pointer", "terminal_statuses", "result"];
    let mut faults = Vec::new();
    let mut reading = Reading::default();
    let path = match table.get("path").map(|path| path.as_str().map(route)) {
        Some(Some(path)) => path.map_err(|fault| faults.push(fault)).ok(),
        Some(None) | None => {
            faults.push(format!("holds a table without a path in quotes; write {ROUTE_TABLE}"));
            None
        }
    };
    let shown = path.as_ref().map_or("a route", Route::template);
    let mut said = |fault: String| faults.push(format!("{shown}: {fault}"));
    for (name, value) in table {
        let value = Value::Toml(value.clone());
        let mut tell =
            |found: Vec<String>| found.into_iter().for_each(|fault| said(format!("{name} {fault}")));
        match name.as_str() {
            "path" => {}
            "status_pointer" => match pointer(&value) {
                Ok(pointer) => reading.status_pointer = Some(pointer),
                Err(found) => tell(found),
            },
            "terminal_statuses" => match statuses(&value) {
                Ok(statuses) => reading.terminal_statuses = Some(statuses),
                Err(found) => tell(found),
            },
            "result" => match flag(&value) {
                Ok(result) => reading.result = result,
                Err(found) => tell(found),
            },
            other => said(match nearest(other, NAMES) {
                Some(near) => format!("{other} is no setting of a route; did you mean {near}?"),
                None => format!("{other} is no setting of a route; there are {}", NAMES.join(", ")),
            }),
        }
    }
    if reading.result && (reading.status_pointer.is_some() || reading.terminal_statuses.is_some()) {
        said("a result has no status; delete status_pointer and terminal_statuses, or result".to_owned());
    }
    match path {
        Some(path) if faults.is_empty() => Ok((path, reading)),
        _ => Err(faults),
    }
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

/// The status pointer: the place of the status in an answer (RFC 6901).
pub(super) fn pointer(value: &Value) -> Parsed<String> {
    let text = value.text("/status")?;
    if !text.starts_with('/') {
        return wrong(format!("{value} does not begin with a slash; write {:?}", as_pointer(text)));
    }
    if text.split('/').skip(1).any(str::is_empty) {
        return wrong(format!(
            "{value} has an empty name, which no answer has; write {:?}",
            as_pointer(text)
        ));
    }
    if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return wrong(format!("{value} has a ~ without 0 or 1; write ~0 for ~, and ~1 for / inside a name"));
    }
    Ok(text.to_owned())
}

/// The pointer that is probably meant: `$.data.status`, `data[0].status` and `/data/status/` are usual mistakes.
fn as_pointer(text: &str) -> String {
    let names: Vec<_> = text
        .trim_start_matches('$')
        .split(['.', '/', '[', ']', '"', '\''])
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() { "/status".to_owned() } else { format!("/{}", names.join("/")) }
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
