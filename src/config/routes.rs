//! Owns the syntax of the routes, and of the status in their answers.

use super::settings::RouteReading;
use super::spelling::nearest;
use super::units::{flag, list, some};
use super::value::{Parsed, Value, wrong};
use crate::core::task::{Route, Routes};

/// Paths that the gateway answers itself.
const OWN_PATHS: [&str; 3] = ["/livez", "/v1/tasks", "/taskgate.js"];

/// An example of a route with a reading of its own.
const ROUTE_TABLE: &str = "{ path = \"/v1/tasks/{id}\", status_pointer = \"/data/status\" }";

/// The routes by what they show.
#[derive(Clone)]
pub(super) struct Routing {
    /// Status paths, at least one, and how their answers are read.
    pub(super) status: Vec<(Route, RouteReading)>,
    /// Paths of bytes.
    pub(super) content: Vec<Route>,
}

/// One route.
enum Entry {
    Status(Route, RouteReading),
    Content(Route),
}

/// Paths, each alone or in a table with what is special about it.
pub(super) fn routes(value: &Value) -> Parsed<Routing> {
    const EXAMPLE: &str = "/v1/tasks/{id}";
    let plain = |path| (path, RouteReading::default());
    let Some(items) = value.with_tables() else {
        let paths = some(EXAMPLE, list(EXAMPLE, route))(value)?;
        return Ok(Routing { status: paths.into_iter().map(plain).collect(), content: Vec::new() });
    };
    let mut routing = Routing { status: Vec::new(), content: Vec::new() };
    let (mut paths, mut faults) = (Vec::<String>::new(), Vec::new());
    for item in items {
        let read = match item {
            toml::Value::String(text) => {
                route(text).map(|path| Entry::Status(path, RouteReading::default())).map_err(|f| vec![f])
            }
            toml::Value::Table(table) => route_table(table),
            _ => wrong(format!("holds something that is neither a path nor a table; write {ROUTE_TABLE}")),
        };
        match read {
            Ok(Entry::Status(path, _) | Entry::Content(path))
                if paths.iter().any(|p| p == path.template()) =>
            {
                faults.push(format!("{:?} comes twice; delete one of the two", path.template()));
            }
            Ok(Entry::Status(path, reading)) => {
                paths.push(path.template().to_owned());
                routing.status.push((path, reading));
            }
            Ok(Entry::Content(path)) => {
                paths.push(path.template().to_owned());
                routing.content.push(path);
            }
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() && routing.status.is_empty() {
        faults.push(format!(
            "holds content alone, which ends with no task; add a status path, such as {EXAMPLE:?}"
        ));
    }
    if faults.is_empty() { Ok(routing) } else { Err(faults) }
}

fn route_table(table: &toml::Table) -> Parsed<Entry> {
    const NAMES: [&str; 5] = ["path", "status_pointer", "terminal_statuses", "result", "content"];
    let mut faults = Vec::new();
    let mut reading = RouteReading::default();
    let content = table.get("content").map_or(Ok(false), |value| flag(&Value::Toml(value.clone())));
    let is_content = content == Ok(true);
    let path = table.get("path").and_then(toml::Value::as_str).map_or_else(
        || Err(format!("holds a table without a path in quotes; write {ROUTE_TABLE}")),
        if is_content { content_route } else { route },
    );
    let path = path.map_err(|fault| faults.push(fault)).ok();
    let shown = path.as_ref().map_or("a route", Route::template);
    let mut said = |fault: String| faults.push(format!("{shown}: {fault}"));
    for (name, value) in table {
        let value = Value::Toml(value.clone());
        let tell = |found: Vec<String>| found.into_iter().for_each(|fault| said(format!("{name} {fault}")));
        match name.as_str() {
            "path" => {}
            "content" => drop(content.clone().map_err(tell)),
            "status_pointer" => reading.status_pointer = pointer(&value).map_err(tell).ok(),
            "terminal_statuses" => reading.terminal_statuses = statuses(&value).map_err(tell).ok(),
            "result" => reading.result = flag(&value).map_err(tell).unwrap_or_default(),
            other => said(match nearest(other, NAMES) {
                Some(near) => format!("{other} is no setting of a route; did you mean {near}?"),
                None => format!("{other} is no setting of a route; there are {}", NAMES.join(", ")),
            }),
        }
    }
    if reading.result && (reading.status_pointer.is_some() || reading.terminal_statuses.is_some()) {
        said("a result has no status; delete status_pointer and terminal_statuses, or result".to_owned());
    }
    if is_content && reading != RouteReading::default() {
        said("content is bytes, without a status; delete its other settings, or content".to_owned());
    }
    match path {
        Some(path) if faults.is_empty() && is_content => Ok(Entry::Content(path)),
        Some(path) if faults.is_empty() => Ok(Entry::Status(path, reading)),
        _ => Err(faults),
    }
}

fn route(text: &str) -> Result<Route, String> {
    let route = Route::parse(text)
        .map_err(|fault| format!("{text:?} {fault}; write one such as \"/v1/tasks/{{id}}\""))?;
    not_own(text, route)
}

fn content_route(text: &str) -> Result<Route, String> {
    let route = Route::parse_content(text)
        .map_err(|fault| format!("{text:?} {fault}; write one such as \"/v1/videos/{{id}}/content\""))?;
    not_own(text, route)
}

fn not_own(text: &str, route: Route) -> Result<Route, String> {
    let alone = Routes::new(vec![route.clone()]);
    match OWN_PATHS.iter().find(|path| alone.find(path).is_ok()) {
        Some(path) => Err(format!(
            "{text:?} would also take {path}, which the gateway answers itself; write a longer path"
        )),
        None => Ok(route),
    }
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

/// The place of something that answers need not have; the empty text is none.
pub(super) fn optional_pointer(value: &Value) -> Parsed<Option<String>> {
    if value.text("/created")?.is_empty() { Ok(None) } else { pointer(value).map(Some) }
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
