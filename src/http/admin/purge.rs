//! Owns `DELETE /cache/{path}`: it purges one task, so that the next request fetches it from the upstream.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::state::Admin;
use crate::core::task::{PathFault, TaskKey};
use crate::http::respond::error::Error;

/// The prefix before the task's status path, whose raw bytes are kept.
const PREFIX: &str = "/cache";

pub(super) async fn answer(State(admin): State<Admin>, request: Request) -> Response {
    let key = match key(&admin, &request) {
        Ok(key) => key,
        Err(error) => return error.into_response(),
    };
    admin.0.gateway.0.mirror.purge(&key).await;
    tracing::info!(task = %key, "a task was purged by hand");
    StatusCode::NO_CONTENT.into_response()
}

fn key(admin: &Admin, request: &Request) -> Result<TaskKey, Error> {
    admin.0.auth.right(request)?;
    if *request.method() != Method::DELETE {
        return Err(Error::MethodNotAllowed { allowed: "DELETE", create_at: None });
    }
    let path = request.uri().path().strip_prefix(PREFIX).ok_or(Error::Path(PathFault::UnknownRoute))?;
    admin.0.gateway.0.routes.find(path).map_err(Error::Path)
}
