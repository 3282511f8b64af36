//! Owns the live dashboard: one page, and the stream of its data.
//!
//! The page loads nothing from other hosts and holds no figures: those come by `/events`, which needs a
//! right.

use std::sync::LazyLock;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::auth::Right;
use super::board::PERIOD;
use super::dashboard_data::DashboardData;
use super::state::Admin;
use crate::core::sha256;
use crate::http::respond::sse;

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");
const PAGE: &str = include_str!("page/page.html");

/// The page. Every client gets the same one, and it asks for a token itself where one is needed. The status
/// is that of the client's right, for programs.
pub(super) async fn page(State(admin): State<Admin>, request: Request) -> Response {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(policy);
    static HTML: LazyLock<Bytes> = LazyLock::new(html);
    let status = admin.0.auth.right(&request).map_or_else(|error| error.status(), |_| StatusCode::OK);
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

/// The Content-Security-Policy: only this script and this style, requests only to this listener, no framing.
fn policy() -> HeaderValue {
    let hash = |text: &str| STANDARD.encode(sha256::hash(text.as_bytes()));
    let text = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// One event a second, until the viewer disconnects, its right ends, or the process stops.
pub(super) async fn events(State(admin): State<Admin>, request: Request) -> Response {
    let right = match admin.0.auth.right(&request) {
        Ok(right) => right,
        Err(error) => return error.into_response(),
    };
    let Some(place) = admin.0.board.place() else {
        return sse::response(stream::iter([sse::event(Some("busy"), None, b"{}"), sse::retry()]));
    };
    let watching = Watching { admin, right, next: Instant::now(), _place: place };
    sse::response(stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        tokio::select! {
            () = sleep_until(watching.next) => {}
            () = watching.admin.0.lifecycle.stopped() => return Some((sse::retry(), None)),
        }
        if !watching.admin.0.auth.holds(&watching.right) {
            return None;
        }
        let now = Instant::now();
        watching.next = now + PERIOD;
        let admin = &watching.admin;
        let event = admin.0.board.event(now, || event(&DashboardData::read(admin, now)));
        Some((event, Some(watching)))
    }))
}

fn event(data: &DashboardData) -> Bytes {
    // A struct of strings and numbers always serializes.
    sse::event(None, None, &serde_json::to_vec(data).unwrap_or_default())
}

struct Watching {
    admin: Admin,
    right: Right,
    next: Instant,
    _place: OwnedSemaphorePermit,
}
