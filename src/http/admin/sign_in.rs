//! Owns sign-in to the dashboard and sign-out, and the layer that refuses pages of other origins.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use super::auth::Right;
use super::state::Admin;
use crate::http::guards::origin;
use crate::http::headers::SEC_FETCH_SITE;
use crate::http::respond::error::Error;

/// `/session`. `GET` tells whether the browser has a right: 200 by a session, which can be ended, else 204.
/// `POST` with a token opens a session, `DELETE` ends it. The token is sent in `Authorization`, which a page
/// of another origin cannot send without a preflight.
pub(super) async fn session(State(admin): State<Admin>, request: Request) -> Response {
    let auth = &admin.0.auth;
    let cookie = match *request.method() {
        Method::GET => match auth.right(&request) {
            Ok(Right::Session(_)) => return no_store(StatusCode::OK.into_response()),
            Ok(Right::Loopback | Right::Token(_)) => Ok(None),
            Err(error) => Err(error),
        },
        Method::POST => auth.right(&request).map(|right| match right {
            Right::Token(token) => auth.sessions.open(token, Instant::now()),
            Right::Loopback | Right::Session(_) => None,
        }),
        Method::DELETE => Ok(auth.sessions.end(request.headers(), Instant::now())),
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

/// The layer that refuses pages of other origins, by `Origin` and `Sec-Fetch-Site`: also those of the same
/// site, such as a dev server on another port.
pub(super) async fn own_page(request: Request, next: Next) -> Response {
    let site = request.headers().get(SEC_FETCH_SITE);
    let is_foreign = site.is_some_and(|site| *site != "same-origin" && *site != "none");
    if is_foreign || !origin::is_own(&request) {
        return Error::ForeignPage.into_response();
    }
    next.run(request).await
}
