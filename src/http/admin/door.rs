//! Owns who may see the dashboard and purge: whoever is on this machine, where the listener is on loopback;
//! otherwise the holder of a token. No page of another origin, in either case.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use super::Admin;
use super::sessions::Sessions;
use crate::config::Settings;
use crate::core::token::Hash;
use crate::http::access::Access;
use crate::http::error::Error;
use crate::http::origin;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The way in.
pub(super) struct Door {
    /// `None` where no token is asked for.
    access: Option<Arc<Access>>,
    sessions: Sessions,
}

/// By what right somebody is in: it may end while a stream is open.
pub(super) enum Right {
    /// On this machine.
    Near,
    /// By this token.
    Token(Hash),
    /// By a session that a token has opened.
    Session(Hash),
}

impl Door {
    pub(super) fn new(settings: &Settings, access: Arc<Access>) -> Self {
        let is_near = settings.admin.listen.is_some_and(|listen| listen.ip().is_loopback());
        Self { access: (!is_near).then_some(access), sessions: Sessions::default() }
    }

    /// Lets somebody in.
    pub(super) fn right(&self, request: &Request) -> Result<Right, Error> {
        let Some(access) = &self.access else { return Ok(Right::Near) };
        if !access.has_tokens() {
            return Err(Error::DashboardClosed);
        }
        match access.token(request) {
            Ok(token) => Ok(Right::Token(token)),
            Err(Error::MissingCredentials) => {
                let session = self.sessions.of(request.headers(), Instant::now()).map(Right::Session);
                session.filter(|right| self.holds(right)).ok_or(Error::MissingCredentials)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a right still holds.
    pub(super) fn holds(&self, right: &Right) -> bool {
        let Some(access) = &self.access else { return true };
        match right {
            Right::Near => true,
            Right::Token(token) => access.holds(token),
            Right::Session(session) => {
                self.sessions.token(session, Instant::now()).is_some_and(|token| access.holds(&token))
            }
        }
    }
}

/// Signing in and out: `GET` asks whether one is in (200 by a session, which can be ended, else 204), `POST` with a token opens a session, `DELETE` ends it. The
/// token comes in `Authorization`, which a page of another origin cannot send without being allowed to.
pub(super) async fn session(State(admin): State<Admin>, request: Request) -> Response {
    let door = &admin.0.door;
    let cookie = match *request.method() {
        Method::GET => match door.right(&request) {
            Ok(Right::Session(_)) => return no_store(StatusCode::OK.into_response()),
            Ok(Right::Near | Right::Token(_)) => Ok(None),
            Err(error) => Err(error),
        },
        Method::POST => door.right(&request).map(|right| match right {
            Right::Token(token) => door.sessions.open(token, Instant::now()),
            Right::Near | Right::Session(_) => None,
        }),
        Method::DELETE => Ok(door.sessions.end(request.headers(), Instant::now())),
        _ => Err(Error::MethodNotAllowed { allowed: "GET, POST, DELETE", create_at: None }),
    };
    match cookie {
        Ok(cookie) => done(cookie),
        Err(error) => error.into_response(),
    }
}

fn done(cookie: Option<HeaderValue>) -> Response {
    let mut response = no_store(StatusCode::NO_CONTENT.into_response());
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The layer that keeps pages of other origins out, where the browser tells: also those of the same site, such as
/// a dev server on another port.
pub(super) async fn own_page(request: Request, next: Next) -> Response {
    let site = request.headers().get(SEC_FETCH_SITE);
    let is_foreign = site.is_some_and(|site| *site != "same-origin" && *site != "none");
    if is_foreign || !origin::is_own(&request) {
        return Error::ForeignPage.into_response();
    }
    next.run(request).await
}
