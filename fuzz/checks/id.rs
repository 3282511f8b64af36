//! Checks status paths: only valid ids are accepted, and the path of a [`TaskKey`] is the requested path.

use std::sync::LazyLock;

use taskgate::core::task::{PathFault, Route, Routes, TaskKey};
use url::Url;

/// Templates whose fixed segments could be ids of others, an id in the middle, and the shortest path.
const TEMPLATES: [&str; 5] = [
    "/v1/images/{id}",
    "/v1/tasks/{id}",
    "/v1/images/generations/{id}",
    "/fal-ai/flux/requests/{id}/status",
    "/{id}",
];

static ROUTES: LazyLock<Routes> = LazyLock::new(|| routes(&TEMPLATES));

/// `data` is used as a raw request path, as an id, and as a template.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    path(&text);
    for template in TEMPLATES {
        path(&template.replace("{id}", &text));
    }
    bare(&text);
    if let Ok(route) = Route::parse(&text) {
        assert_eq!(route.template(), text);
        let routes = Routes::new(vec![route]);
        let key = routes.bare("ldtask_0-9").unwrap();
        assert_eq!(routes.find(key.path()), Ok(key));
    }
}

fn path(path: &str) {
    let fitting: Vec<_> =
        TEMPLATES.iter().filter_map(|template| Some((template, id_in(template, path)?))).collect();
    let good = fitting.iter().find(|(template, id)| is_id(id) && !is_word_of_a_sibling(template, id));
    match ROUTES.find(path) {
        // The one encoding that is understood.
        Ok(key) if path.contains("%3D") || path.contains("%3d") => {
            assert_eq!(key.path(), path.replace("%3D", "=").replace("%3d", "="));
            assert!(is_id(key.id()));
            travels_unchanged(&key);
        }
        Ok(key) => {
            let (template, id) = good.unwrap_or_else(|| panic!("{path:?} is no status path"));
            assert_eq!((key.path(), key.id(), TEMPLATES[key.route()]), (path, *id, **template));
            travels_unchanged(&key);
        }
        Err(fault) => {
            assert_eq!(good, None, "{path:?} is a status path");
            let expected = if fitting.is_empty() { PathFault::UnknownRoute } else { PathFault::InvalidId };
            assert_eq!(fault, expected, "{path:?}");
        }
    }
}

fn bare(id: &str) {
    match ROUTES.bare(id) {
        Ok(key) => {
            assert!(is_id(id), "{id:?} is no id");
            assert_eq!((key.id(), key.path()), (id, format!("/v1/tasks/{id}").as_str()));
            assert_eq!(ROUTES.find(key.path()), Ok(key));
        }
        Err(fault) => {
            assert!(!is_id(id), "{id:?} is an id");
            assert_eq!(fault, PathFault::InvalidId);
        }
    }
}

/// A URL must keep the path unchanged, so that the upstream gets exactly the requested path.
fn travels_unchanged(key: &TaskKey) {
    let mut url = Url::parse("https://upstream.example").unwrap();
    url.set_path(key.path());
    assert_eq!((url.path(), url.query(), url.fragment()), (key.path(), None, None));
}

/// The id by comparing segments, an algorithm other than the gateway's.
fn id_in<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let place = wanted.iter().position(|segment| *segment == "{id}")?;
    let fits = wanted.len() == given.len()
        && wanted.iter().zip(&given).enumerate().all(|(at, (wanted, given))| at == place || wanted == given);
    fits.then(|| given[place])
}

fn is_id(text: &str) -> bool {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=.";
    (1..=300).contains(&text.chars().count())
        && text.chars().all(|letter| alphabet.contains(letter))
        && !text.replace('.', "").is_empty()
}

/// True if a longer template has this word in the place of the id in `template`.
fn is_word_of_a_sibling(template: &str, word: &str) -> bool {
    let Some((before, _)) = template.split_once("{id}") else { return false };
    TEMPLATES.iter().any(|other| other.starts_with(&format!("{before}{word}/")))
}

fn routes(templates: &[&str]) -> Routes {
    Routes::new(templates.iter().map(|template| Route::parse(template).unwrap()).collect())
}
