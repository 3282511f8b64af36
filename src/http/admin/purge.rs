//! Owns `DELETE /cache/{path}`: it purges one task, so that the next request fetches it from the upstream.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::state::Admin;
use crate::core::task::PathFault;
use crate::http::respond::error::Error;

/// The prefix before the task's status path, whose raw bytes are kept.
const PREFIX: &str = "/cache";

pub(super) async fn answer(State(admin): State<Admin>, request: Request) -> Response {
    match purge(&admin, &request) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    }
}

fn purge(admin: &Admin, request: &Request) -> Result<(), Error> {
    admin.0.auth.right(request)?;
    if *request.method() != Method::DELETE {
        return Err(Error::MethodNotAllowed { allowed: "DELETE", create_at: None });
    }
    let path = request.uri().path().strip_prefix(PREFIX).ok_or(Error::Path(PathFault::UnknownRoute))?;
    let gateway = &*admin.0.gateway.0;
    let key = gateway.routes.find(path).map_err(Error::Path)?;
    gateway.mirror.purge(&key);
    tracing::info!(task = %key, "a task was purged by hand");
    Ok(())
}
