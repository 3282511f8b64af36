//! Owns the routing of a request by its method and raw path.
//!
//! It does not use axum's router: the status paths of images overlap (`/v1/images/generations` would be the
//! task `generations` of `/v1/images/{id}`), and every error must come in the envelope.

use axum::http::Method;

use super::medium::Medium;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'p> {
    /// The path shows only tasks of `medium`; with `None`, of all media.
    Status {
        medium: Option<Medium>,
        id: &'p str,
    },
    Create(Medium),
    Cancel {
        id: &'p str,
    },
    File {
        name: &'p str,
    },
    /// The film of a video task.
    Content {
        id: &'p str,
    },
    WrongMethod {
        allow: &'static str,
    },
    Unknown,
}

const ALL_TASKS: &str = "/v1/tasks";
const FILES: &str = "/files";
/// LemonData hands out public links. This path is of the `/v1/videos` dialect, where films need the key.
const VIDEOS: &str = "/v1/videos";
/// A shorter form of `/v1/images/generations`, for statuses only.
const IMAGES: &str = "/v1/images";

impl<'p> Target<'p> {
    pub fn of(method: &Method, path: &'p str) -> Self {
        let read = matches!(*method, Method::GET | Method::HEAD);
        let or_wrong = |fits, target, allow| if fits { target } else { Self::WrongMethod { allow } };

        if let Some(medium) = Medium::ALL.into_iter().find(|medium| medium.create_path() == path) {
            return or_wrong(*method == Method::POST, Self::Create(medium), "POST");
        }
        if let Some(id) = under(path, ALL_TASKS) {
            if *method == Method::DELETE {
                return Self::Cancel { id };
            }
            return or_wrong(read, Self::Status { medium: None, id }, "GET, HEAD, DELETE");
        }
        let mut media = Medium::ALL.map(|medium| (medium.create_path(), medium)).to_vec();
        media.push((IMAGES, Medium::Image));
        for (prefix, medium) in media {
            if let Some(id) = under(path, prefix) {
                return or_wrong(read, Self::Status { medium: Some(medium), id }, "GET, HEAD");
            }
        }
        if let Some(id) = path.strip_suffix("/content").and_then(|path| under(path, VIDEOS)) {
            return or_wrong(read, Self::Content { id }, "GET, HEAD");
        }
        if let Some(name) = under(path, FILES) {
            return or_wrong(read, Self::File { name }, "GET, HEAD");
        }
        Self::Unknown
    }
}

/// The single path segment behind `prefix`.
fn under<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?.strip_prefix('/')?;
    (!rest.is_empty() && !rest.contains('/')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading() {
        let cases = [
            ("/v1/tasks/a", None),
            ("/v1/videos/generations/a", Some(Medium::Video)),
            ("/v1/images/generations/a", Some(Medium::Image)),
            ("/v1/images/a", Some(Medium::Image)),
            ("/v1/music/generations/a", Some(Medium::Music)),
            ("/v1/3d/generations/a", Some(Medium::ThreeD)),
        ];
        for (path, medium) in cases {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(Target::of(&method, path), Target::Status { medium, id: "a" }, "{path}");
            }
            assert!(matches!(Target::of(&Method::POST, path), Target::WrongMethod { .. }), "{path}");
        }
        assert_eq!(Target::of(&Method::GET, "/files/a.svg"), Target::File { name: "a.svg" });
        assert_eq!(Target::of(&Method::GET, "/v1/videos/a/content"), Target::Content { id: "a" });
    }

    #[test]
    fn writing() {
        for medium in Medium::ALL {
            assert_eq!(Target::of(&Method::POST, medium.create_path()), Target::Create(medium));
            let wrong = Target::WrongMethod { allow: "POST" };
            assert_eq!(Target::of(&Method::GET, medium.create_path()), wrong);
        }
        assert_eq!(Target::of(&Method::DELETE, "/v1/tasks/a"), Target::Cancel { id: "a" });
        let wrong = Target::WrongMethod { allow: "GET, HEAD" };
        assert_eq!(Target::of(&Method::DELETE, "/v1/videos/generations/a"), wrong);
    }

    #[test]
    fn all_else_is_unknown() {
        for path in
            ["/", "/v1", "/v1/tasks", "/v1/tasks/", "/v1/tasks/a/", "/v1/tasks/a/b", "/v1/videos/a", "*"]
        {
            assert_eq!(Target::of(&Method::GET, path), Target::Unknown, "{path}");
        }
    }
}
