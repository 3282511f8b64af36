//! Owns the way of a status request: each step is a line of [`answer`].

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use http::Method;
use tokio::time::Instant;

use super::error::Error;
use super::{Gateway, method, render};
use crate::core::grant::Client;

/// Answers every path that is not the gateway's own.
pub(super) async fn read(State(gateway): State<Gateway>, request: Request) -> Response {
    let is_head = request.method() == Method::HEAD;
    let response = answer(&gateway, request).await.unwrap_or_else(IntoResponse::into_response);
    if is_head { method::without_body(response) } else { response }
}

async fn answer(gateway: &Gateway, request: Request) -> Result<Response, Error> {
    let gateway = &*gateway.0;
    method::check(&request, &gateway.create_at)?;
    let key = gateway.routes.find(request.uri().path()).map_err(Error::Path)?;
    let grant = gateway.access.grant(key, client(&request))?;
    let now = Instant::now();
    gateway.limits.request(grant.client(), now)?;
    gateway.limits.new_task(grant.client(), now, || !gateway.mirror.knows(grant.key()))?;
    let answer = gateway.mirror.look(&grant).await.map_err(Error::Refused)?;
    Ok(render::answer(&answer, request.headers(), Instant::now()))
}

/// Who asks, as far as the connection tells.
fn client(request: &Request<Body>) -> Client {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    Client::at(peer.map_or(std::net::Ipv4Addr::LOCALHOST.into(), |ConnectInfo(address)| address.ip()))
}
