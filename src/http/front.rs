//! Owns the path of every request on the main listener: each step is one line here.
//!
//! The steps are plain calls, because a stack of tower layers would cost each cached hit allocations. The
//! futures of longer paths are boxed where they branch off, so that the future of a hit has no room for them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::admin::livez;
use super::gateway::Gateway;
use super::guards::{cors, method, origin};
use super::head::Head;
use super::request_log::{self, Record, request_id, trace_id};
use super::respond::error::Error;
use super::respond::response_body::{ResponseBody, other};
use super::tasks::{content, list, module, status};
use crate::core::places::Place;

impl Gateway {
    /// Answers a request that came by the connection of this place. The request's body is not read.
    pub fn answer<B>(
        self,
        request: Request<B>,
        place: Arc<Place>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send + use<B> {
        let request = request.map(drop);
        let record = Record::new(&self.0.counters, request_id::of(&request), self.0.log_access);
        record.scope(self.lead(request, place))
    }

    async fn lead(self, request: Head, place: Arc<Place>) -> Response<ResponseBody> {
        let logged = self
            .0
            .log_access
            .then(|| (request.method().clone(), request.uri().clone(), trace_id::of(&request)));
        let leaves_body = method::leaves_body(&request);
        let mut response = match rules(&self, &request) {
            Err(error) => rendered(Err(error)),
            Ok(()) if cors::concerns(&request) => Box::pin(across_origins(&self, request, &place)).await,
            Ok(()) => rendered(route(&self, request, &place).await),
        };
        request_log::answered(response.status());
        if let Some((method, uri, trace_id)) = logged {
            request_log::write(&method, uri.path(), response.status(), trace_id.as_deref());
        }
        // A stream is not followed by another answer.
        if leaves_body || place.has_to_leave() || place.is_streaming() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The Host rule and the Origin rule.
fn rules(gateway: &Gateway, request: &Head) -> Result<(), Error> {
    gateway.0.hosts.check(request)?;
    origin::check(&gateway.0.origins, request)
}

/// Answers a request that CORS applies to: the CORS layer, around the same routing.
async fn across_origins(gateway: &Gateway, request: Head, place: &Arc<Place>) -> Response<ResponseBody> {
    let routed = service_fn(async |request: Head| {
        Ok::<_, Infallible>(rendered(route(gateway, request, place).await).map(Body::new))
    });
    let answer = gateway.0.cors.layer(routed).oneshot(request).await;
    other(answer.unwrap_or_else(|never| match never {}))
}

/// Calls the handler of the request's path.
async fn route(
    gateway: &Gateway,
    request: Head,
    place: &Arc<Place>,
) -> Result<Response<ResponseBody>, Error> {
    match request.uri().path() {
        "/livez" => {
            gateway.0.methods.check_reading(&request)?;
            Ok(other(livez().await))
        }
        "/taskgate.js" => module::read(&gateway.0, &request).map(other),
        "/v1/tasks" => Box::pin(list::read(&gateway.0, &request, place)).await.map(other),
        "/v1/tasks/" if request.uri().query().is_some_and(|query| query.contains("id=")) => {
            Err(Error::InvalidParameter(
                "Several tasks are /v1/tasks?id=ldtask_a&id=ldtask_b, without a slash before the question mark.",
            ))
        }
        // Every configured path. The routes match its raw bytes.
        path => match gateway.0.routes.find(path) {
            Ok(key) => status::read(&gateway.0, request, key, place).await,
            Err(fault) => Box::pin(content::read(&gateway.0, &request, fault, place)).await.map(other),
        },
    }
}

/// The answer, or the response of an error, whose code becomes the request's outcome.
fn rendered(answer: Result<Response<ResponseBody>, Error>) -> Response<ResponseBody> {
    answer.unwrap_or_else(|error| {
        request_log::outcome(error.code());
        other(error)
    })
}
