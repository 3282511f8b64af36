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

/// Status paths, at least one. A path may stand alone, or in a table with what is special about it.
pub(super) fn routes(value: &Value) -> Parsed<Vec<(Route, RouteReading)>> {
    const EXAMPLE: &str = "/v1/tasks/{id}";
    let Some(items) = value.with_tables() else {
        let paths = some(EXAMPLE, list(EXAMPLE, route))(value)?;
        return Ok(paths.into_iter().map(|path| (path, RouteReading::default())).collect());
    };
    let (mut good, mut faults) = (Vec::<(Route, RouteReading)>::new(), Vec::new());
    for item in items {
        let read = match item {
            toml::Value::String(text) => {
                route(text).map(|route| (route, RouteReading::default())).map_err(|f| vec![f])
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

fn route_table(table: &toml::Table) -> Parsed<(Route, RouteReading)> {
    const NAMES: [&str; 4] = ["path", "status_pointer", "terminal_statuses", "result"];
    let mut faults = Vec::new();
    let mut reading = RouteReading::default();
    let path = table
        .get("path")
        .and_then(toml::Value::as_str)
        .map_or_else(|| Err(format!("holds a table without a path in quotes; write {ROUTE_TABLE}")), route);
    let path = path.map_err(|fault| faults.push(fault)).ok();
    let shown = path.as_ref().map_or("a route", Route::template);
    let mut said = |fault: String| faults.push(format!("{shown}: {fault}"));
    for (name, value) in table {
        let value = Value::Toml(value.clone());
        let tell = |found: Vec<String>| found.into_iter().for_each(|fault| said(format!("{name} {fault}")));
        match name.as_str() {
            "path" => {}
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
