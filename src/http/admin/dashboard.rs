//! Owns the live dashboard: one page, and the stream of its figures.
//!
//! The page asks no other host for anything and holds no figures: those come by `/events`, to whoever is let in.
//! They are put together once a second, however many watch, and not at all while nobody does. The board's lock is
//! held meanwhile, and is taken inside no other.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, sleep_until};

use super::Admin;
use super::door::Right;
use super::figures::Figures;
use crate::http::sse;

/// How many may watch at once.
const MOST: usize = 16;
const PERIOD: Duration = Duration::from_secs(1);
/// Two ticks that fall together within this are one.
const SLACK: Duration = Duration::from_millis(100);

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");
const PAGE: &str = include_str!("page/page.html");

/// The figures as they were told last, and the places of those who watch.
pub(super) struct Board {
    places: Arc<Semaphore>,
    latest: Mutex<Option<(Instant, Bytes)>>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), latest: Mutex::default() }
    }

    fn event(&self, admin: &Admin, now: Instant) -> Bytes {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some((made, event)) if now.saturating_duration_since(*made) + SLACK < PERIOD => event.clone(),
            _ => {
                // A struct of strings and numbers always serializes.
                let json = serde_json::to_vec(&Figures::read(admin, now)).unwrap_or_default();
                let event = sse::event(None, None, &json);
                *latest = Some((now, event.clone()));
                event
            }
        }
    }
}

/// The page. It is the same for everybody, and asks for a token itself where one is needed; the status says so
/// to those who look at that.
pub(super) async fn page(State(admin): State<Admin>, request: Request) -> Response {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(policy);
    static HTML: LazyLock<Bytes> = LazyLock::new(html);
    let status = admin.0.door.right(&request).map_or_else(|error| error.status(), |_| StatusCode::OK);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    let mut response = (status, headers, HTML.clone()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The page with its style and script inside.
fn html() -> Bytes {
    let style = format!("<style>{STYLE}</style>");
    let script = format!("<script type=\"module\">{SCRIPT}</script>");
    let page = PAGE.replacen("<style></style>", &style, 1);
    page.replacen("<script type=\"module\"></script>", &script, 1).into()
}

/// Only this script and this style, requests only back here, and in nobody's frame.
fn policy() -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let text = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// One event a second, until the watcher leaves, its right ends or the process does.
pub(super) async fn events(State(admin): State<Admin>, request: Request) -> Response {
    let right = match admin.0.door.right(&request) {
        Ok(right) => right,
        Err(error) => return error.into_response(),
    };
    let Ok(place) = Arc::clone(&admin.0.board.places).try_acquire_owned() else {
        return sse::response(stream::iter([sse::event(Some("busy"), None, b"{}"), sse::retry()]));
    };
    let watching = Watching { admin, right, next: Instant::now(), _place: place };
    sse::response(stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        tokio::select! {
            () = sleep_until(watching.next) => {}
            () = watching.admin.0.lifecycle.stopped() => return Some((sse::retry(), None)),
        }
        if !watching.admin.0.door.holds(&watching.right) {
            return None;
        }
        let now = Instant::now();
        watching.next = now + PERIOD;
        let event = watching.admin.0.board.event(&watching.admin, now);
        Some((event, Some(watching)))
    }))
}

struct Watching {
    admin: Admin,
    right: Right,
    next: Instant,
    _place: OwnedSemaphorePermit,
}
