//! Owns the keys of tasks: the routes, and the rules for a valid id.
//!
//! Only [`Routes::find`] makes a [`TaskKey`], from the raw bytes of a request path. The holder of a key need
//! not check it again, and may append its path unchanged to the upstream's base URL.

use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use thiserror::Error;

/// The longest valid id, in bytes.
pub const MAX_ID: usize = 300;

/// The characters of an id, as texts show them.
pub const ID_CHARACTERS: &str = "A-Z a-z 0-9 . _ - =";

const PLACE: &str = "{id}";

/// Random for each process, so that no client can choose ids whose hashes collide.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// One upstream path with a place for an id: a status path, such as `/v1/tasks/{id}`, or a content path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    template: Box<str>,
    /// The byte offset of `{id}` in the template.
    place: usize,
    /// The fixed query of a content path, without its question mark.
    query: Box<str>,
    /// Words that another, longer route has in the place of the id (`generations` in
    /// `/v1/images/generations/{id}`). They are no ids, because their path shows no task.
    reserved: Vec<Box<str>>,
}

/// The fault of a template that is no route.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteFault {
    /// The template does not begin with a slash.
    #[error("must begin with `/`")]
    NotAbsolute,
    /// `{id}` is absent, repeated, or only part of a segment.
    #[error("must contain `{{id}}` exactly once, as a whole path segment")]
    Place,
    /// A segment holds something other than `A-Z a-z 0-9 . _ ~ -`, or is empty, `.` or `..`.
    #[error("segment `{0}` may only hold `A-Z a-z 0-9 . _ ~ -` and must not be empty, `.` or `..`")]
    Segment(String),
    /// The query holds something other than `A-Z a-z 0-9 . _ ~ - = & % ,`.
    #[error("query `{0}` may only hold `A-Z a-z 0-9 . _ ~ - = & % ,`")]
    Query(String),
}

/// The fault of a request path that names no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathFault {
    /// No configured route has this shape.
    #[error("no configured status path looks like this")]
    UnknownRoute,
    /// A route fits, but the id is not valid.
    #[error("a task id is 1 to {MAX_ID} characters of {ID_CHARACTERS}, and not dots alone")]
    InvalidId,
}

impl Route {
    /// Parses the template of a status path.
    ///
    /// # Errors
    /// The first [`RouteFault`] found.
    pub fn parse(template: &str) -> Result<Self, RouteFault> {
        Self::parsed(template, |segment| segment == PLACE)
    }

    /// Parses the template of a content path. Behind its id there may be a verb, as in `/v1beta/files/{id}:download`,
    /// and behind the path a fixed query, as in `?alt=media`.
    ///
    /// # Errors
    /// The first [`RouteFault`] found.
    pub fn parse_content(template: &str) -> Result<Self, RouteFault> {
        let (path, query) = template.split_once('?').unwrap_or((template, ""));
        if !query.bytes().all(|byte| is_plain(byte) || matches!(byte, b'=' | b'&' | b'%' | b',')) {
            return Err(RouteFault::Query(query.to_owned()));
        }
        let route = Self::parsed(path, |segment| {
            let verb = segment.strip_prefix(PLACE).and_then(|rest| rest.strip_prefix(':'));
            segment == PLACE || verb.is_some_and(|verb| !verb.is_empty() && verb.bytes().all(is_plain))
        })?;
        Ok(Self { query: query.into(), ..route })
    }

    fn parsed(template: &str, is_place: impl Fn(&str) -> bool) -> Result<Self, RouteFault> {
        let path = template.strip_prefix('/').ok_or(RouteFault::NotAbsolute)?;
        let mut places = 0;
        // Some frameworks have a slash at the end of each path.
        for segment in path.strip_suffix('/').unwrap_or(path).split('/') {
            if is_place(segment) {
                places += 1;
            } else if segment.contains(['{', '}']) {
                return Err(RouteFault::Place);
            } else if matches!(segment, "" | "." | "..") || !segment.bytes().all(is_plain) {
                return Err(RouteFault::Segment(segment.to_owned()));
            }
        }
        let place = template.find(PLACE).ok_or(RouteFault::Place)?;
        if places != 1 {
            return Err(RouteFault::Place);
        }
        Ok(Self { template: template.into(), place, query: Box::default(), reserved: Vec::new() })
    }

    /// The template, as configured.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// The template and its query, as configured.
    pub fn address(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", self.template, self.query)
    }

    /// The fixed query of a content path, without its question mark; empty if it has none.
    pub fn query(&self) -> &str {
        &self.query
    }

    fn prefix(&self) -> &str {
        &self.template[..self.place]
    }

    fn suffix(&self) -> &str {
        &self.template[self.place + PLACE.len()..]
    }

    /// The segment of `path` in the place of the id, not validated; `None` where the path does not fit the
    /// route.
    fn candidate<'p>(&self, path: &'p str) -> Option<&'p str> {
        let id = path.strip_prefix(self.prefix())?.strip_suffix(self.suffix())?;
        (!id.contains('/')).then_some(id)
    }

    fn accepts(&self, id: &str) -> bool {
        is_task_id(id) && !self.reserved.iter().any(|word| **word == *id)
    }
}

/// Whether a text can be a task's id: 1 to [`MAX_ID`] characters of [`ID_CHARACTERS`], and not dots alone, which would
/// be another path (RFC 3986, 5.2.4).
pub fn is_task_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_id) && text.bytes().any(|byte| byte != b'.')
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

fn is_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=' | b'.')
}

/// The configured routes, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes(Arc<[Route]>);

impl Routes {
    /// Takes all routes, and reserves the words of each route that others would take for ids.
    pub fn new(mut routes: Vec<Route>) -> Self {
        let prefixes: Vec<Box<str>> = routes.iter().map(|route| route.prefix().into()).collect();
        for route in &mut routes {
            route.reserved = prefixes
                .iter()
                .filter_map(|other| other.strip_prefix(route.prefix())?.split('/').next())
                .filter(|word| !word.is_empty())
                .map(Into::into)
                .collect();
        }
        Self(routes.into())
    }

    /// The routes, in their configured order.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The route of bare ids and of cancellations: `/v1/tasks/{id}`, or the first route where that is not
    /// configured.
    pub fn canonical(&self) -> Option<&Route> {
        self.0.iter().find(|route| *route.template == *"/v1/tasks/{id}").or(self.0.first())
    }

    /// Whether the key belongs to the canonical route.
    pub fn is_canonical(&self, key: &TaskKey) -> bool {
        self.0.get(key.route()) == self.canonical()
    }

    /// The keys of an id on all routes that accept it.
    pub fn keys_of(&self, id: &str) -> impl Iterator<Item = TaskKey> {
        let routes = self.iter().filter(move |route| route.accepts(id));
        routes.filter_map(move |route| self.find(&format!("{}{id}{}", route.prefix(), route.suffix())).ok())
    }

    /// The template of the key's route.
    pub fn template_of(&self, key: &TaskKey) -> &str {
        self.0.get(key.route()).map_or("", Route::template)
    }

    /// The fixed query of the key's route.
    pub fn query_of(&self, key: &TaskKey) -> &str {
        self.0.get(key.route()).map_or("", Route::query)
    }

    /// Parses an id without a path, as one of the canonical route.
    ///
    /// # Errors
    /// [`PathFault::InvalidId`], or [`PathFault::UnknownRoute`] where no route is configured.
    pub fn bare(&self, id: &str) -> Result<TaskKey, PathFault> {
        let route = self.canonical().ok_or(PathFault::UnknownRoute)?;
        if !route.accepts(id) {
            return Err(PathFault::InvalidId);
        }
        self.find(&format!("{}{id}{}", route.prefix(), route.suffix()))
    }

    /// Parses the raw (undecoded) path of a request. The one encoding that is understood is `%3D`, because generated
    /// clients write `=` in this way.
    ///
    /// # Errors
    /// [`PathFault::InvalidId`] where a route fits but its id is not valid, otherwise
    /// [`PathFault::UnknownRoute`].
    pub fn find(&self, path: &str) -> Result<TaskKey, PathFault> {
        let found = self.find_as_it_is(path);
        if found == Err(PathFault::InvalidId) && path.contains('%') {
            return self.find_as_it_is(&path.replace("%3D", "=").replace("%3d", "="));
        }
        found
    }

    fn find_as_it_is(&self, path: &str) -> Result<TaskKey, PathFault> {
        let mut fault = PathFault::UnknownRoute;
        for (number, route) in self.0.iter().enumerate() {
            let Some(id) = route.candidate(path) else { continue };
            if route.accepts(id) {
                return TaskKey::new(path, number, route.place, route.place + id.len())
                    .ok_or(PathFault::UnknownRoute);
            }
            fault = PathFault::InvalidId;
        }
        Err(fault)
    }
}

/// A route and a valid id: the key of one task on one status path.
#[derive(Clone)]
pub struct TaskKey {
    path: Arc<str>,
    /// The hash of the path, computed once: a request looks its key up in a dozen maps.
    hash: u64,
    /// The index of the route. 32 bits, as in `id`, because there may be a million keys.
    route: u32,
    /// The bounds of the id in the path.
    id: (u32, u32),
}

impl TaskKey {
    /// `None` for a path of 4 GiB or more.
    fn new(path: &str, route: usize, start: usize, end: usize) -> Option<Self> {
        let small = |number: usize| u32::try_from(number).ok();
        let (route, id) = (small(route)?, (small(start)?, small(end)?));
        Some(Self { path: path.into(), hash: SEED.hash_one(path), route, id })
    }

    /// The whole path, which is the same at the gateway and at the upstream.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.path[self.id.0 as usize..self.id.1 as usize]
    }

    /// The index of the route in [`Routes`].
    pub fn route(&self) -> usize {
        self.route as usize
    }
}

// The path contains route and id, so two keys are equal if their paths are.
impl PartialEq for TaskKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.path == other.path
    }
}

impl Eq for TaskKey {}

impl Hash for TaskKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for TaskKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TaskKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.path.cmp(&other.path)
    }
}

impl fmt::Debug for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// The hasher of maps by [`TaskKey`]: each key carries its hash.
pub type ByKey = BuildHasherDefault<CarriedHash>;

/// Returns the hash that a [`TaskKey`] writes.
#[derive(Debug, Default)]
pub struct CarriedHash(u64);

impl Hasher for CarriedHash {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// The trait requires this; keys only call `write_u64`.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(templates: &[&str]) -> Routes {
        Routes::new(templates.iter().map(|t| Route::parse(t).unwrap()).collect())
    }

    #[test]
    fn a_path_is_split_into_route_and_id() {
        let routes = routes(&["/v1/tasks/{id}", "/fal-ai/flux/requests/{id}/status"]);
        let key = routes.find("/v1/tasks/ldtask_0-9").unwrap();
        assert_eq!((key.path(), key.id(), key.route()), ("/v1/tasks/ldtask_0-9", "ldtask_0-9", 0));
        let slash = self::routes(&["/api/tasks/{id}/"]);
        assert_eq!(slash.find("/api/tasks/a/").unwrap().path(), "/api/tasks/a/");
        assert_eq!(slash.find("/api/tasks/a"), Err(PathFault::UnknownRoute));
        let key = routes.find("/fal-ai/flux/requests/abc/status").unwrap();
        assert_eq!((key.id(), key.route()), ("abc", 1));
    }

    #[test]
    fn the_shorter_route_does_not_take_the_longer_ones_word_for_an_id() {
        let routes = routes(&["/v1/images/{id}", "/v1/images/generations/{id}"]);
        assert_eq!(routes.find("/v1/images/generations"), Err(PathFault::InvalidId));
        assert_eq!(routes.find("/v1/images/generations/x").unwrap().route(), 1);
        assert_eq!(routes.find("/v1/images/generationsx").unwrap().route(), 0);
    }

    #[test]
    fn a_bare_id_is_one_of_the_unified_route() {
        let both = routes(&["/v1/images/{id}", "/v1/tasks/{id}"]);
        assert_eq!(both.bare("a").unwrap().path(), "/v1/tasks/a");
        let other = routes(&["/fal/{id}/status", "/x/{id}"]);
        assert_eq!(other.bare("a").unwrap().path(), "/fal/a/status");
        for id in ["", "a/b", "..", "%61"] {
            assert_eq!(both.bare(id), Err(PathFault::InvalidId), "{id}");
        }
    }

    #[test]
    fn an_id_has_a_key_on_each_route_that_takes_it() {
        let routes = routes(&["/v1/images/{id}", "/v1/images/generations/{id}", "/fal/{id}/status"]);
        let paths = |id: &str| routes.keys_of(id).map(|key| key.path().to_owned()).collect::<Vec<_>>();
        assert_eq!(paths("a"), ["/v1/images/a", "/v1/images/generations/a", "/fal/a/status"]);
        assert_eq!(paths("generations"), ["/v1/images/generations/generations", "/fal/generations/status"]);
        assert!(paths("a/b").is_empty() && paths(&"a".repeat(MAX_ID + 1)).is_empty());
        let key = routes.find("/fal/a/status").unwrap();
        assert_eq!(routes.template_of(&key), "/fal/{id}/status");
    }

    #[test]
    fn ids_are_judged_on_raw_bytes() {
        let routes = routes(&["/v1/tasks/{id}"]);
        // The last is one of LiteLLM's.
        for id in [&"a".repeat(MAX_ID), "a=b", "a.json", "..a", "=", "video_bGl0ZWxsbTpjdXN0b20="] {
            assert_eq!(routes.find(&format!("/v1/tasks/{id}")).unwrap().id(), id);
        }
        assert_eq!(routes.find("/v1/tasks/a%3Db%3d").unwrap().path(), "/v1/tasks/a=b=");
        for id in [
            "a%253Db",
            "%3D%2e",
            "%3Da%2Fb",
            "",
            ".",
            "..",
            "...",
            "%2e%2e",
            "%61",
            "a;b",
            "a%00",
            "a b",
            "é",
            &"a".repeat(MAX_ID + 1),
        ] {
            assert_eq!(routes.find(&format!("/v1/tasks/{id}")), Err(PathFault::InvalidId), "{id}");
        }
        for path in
            ["/", "/v1/tasks", "/v1/tasks/a/", "/v1//tasks/a", "/V1/tasks/a", "/v1/tasks/a/b", "*", ""]
        {
            assert_eq!(routes.find(path), Err(PathFault::UnknownRoute), "{path}");
        }
    }

    #[test]
    fn templates_are_checked() {
        let cases = [
            ("v1/{id}", RouteFault::NotAbsolute),
            ("/v1/tasks", RouteFault::Place),
            ("/v1/{id}/{id}", RouteFault::Place),
            ("/v1/x{id}", RouteFault::Place),
            ("/v1/{task}", RouteFault::Place),
            ("/v1//{id}", RouteFault::Segment(String::new())),
            ("/v1/{id}//", RouteFault::Segment(String::new())),
            ("/../{id}", RouteFault::Segment("..".into())),
            ("/a?b/{id}", RouteFault::Segment("a?b".into())),
        ];
        for (template, fault) in cases {
            assert_eq!(Route::parse(template), Err(fault), "{template}");
        }
    }
}
