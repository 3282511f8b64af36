//! Owns the way of every request on the main listener: each step is a line here.
//!
//! Plain calls and not a tower of layers: a cached hit takes this way too, and each layer costs it allocations. What
//! goes further than a hit is boxed where its way parts, so that a hit does not carry room for it along.

use std::net::SocketAddr;

use http::{HeaderValue, Request, Response, header};

use super::content::{Content, other};
use super::error::Error;
use super::note::{self, Note};
use super::request_id;
use super::{Gateway, Head, admin, cors, list, method, origin, status};

impl Gateway {
    /// Answers a request of a client at this address. Its body is left unread.
    pub fn answer<B>(
        self,
        request: Request<B>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Content>> + Send + use<B> {
        let request = request.map(drop);
        let note = Note::new(self.clone(), request_id::of(&request));
        note.beside(self.lead(request, peer))
    }

    async fn lead(self, request: Head, peer: SocketAddr) -> Response<Content> {
        let logged = self.0.log_access.then(|| (request.method().clone(), request.uri().clone()));
        let leaves_body = method::leaves_body(&request);
        let mut response = match rules(&self, &request) {
            Err(error) => other(error),
            Ok(()) if cors::concerns(&request) => Box::pin(cors::answer(&self, request, peer)).await,
            Ok(()) => route(&self, request, peer).await,
        };
        note::answered(response.status());
        if let Some((method, uri)) = logged {
            note::log(&method, uri.path(), response.status());
        }
        if leaves_body {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether it is meant for this gateway, and its page may ask.
fn rules(gateway: &Gateway, request: &Head) -> Result<(), Error> {
    gateway.0.hosts.check(request)?;
    origin::check(&gateway.0.origins, request)
}

/// To the one who knows its path.
pub(super) async fn route(gateway: &Gateway, request: Head, peer: SocketAddr) -> Response<Content> {
    match request.uri().path() {
        "/livez" => match gateway.0.methods.check_reading(&request) {
            Ok(()) => other(admin::livez().await),
            Err(error) => other(error),
        },
        "/v1/tasks" => other(Box::pin(list::read(gateway, &request, peer)).await),
        // Every configured status path, judged on its raw bytes.
        _ => status::read(gateway, request, peer).await,
    }
}
