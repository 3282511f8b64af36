//! Owns the Host rule, against DNS rebinding: a request under a foreign name that resolves to this machine is
//! refused. An address cannot be rebound, so IP literals, `localhost` and names under it are always accepted.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::State;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, Request, Uri, Version, header};

use crate::config::{AccessMode, AllowList, Settings};
use crate::http::respond::error::Error;

/// The host names that a listener accepts.
#[derive(Clone)]
pub struct Hosts(Arc<AllowList>);

impl Hosts {
    /// The main listener's rule. In protected mode it applies only if `server.allowed_hosts` lists names.
    pub(in crate::http) fn new(settings: &Settings) -> Self {
        let names = &settings.server.allowed_hosts;
        let unlisted = *names == AllowList::These(Vec::new());
        let any = settings.access.mode == AccessMode::Protected && unlisted;
        Self(Arc::new(if any { AllowList::Any } else { names.clone() }))
    }

    /// The admin listener's rule. It always applies.
    pub fn for_admin(settings: &Settings) -> Self {
        Self(Arc::new(settings.server.allowed_hosts.clone()))
    }

    /// Accepts a request whose authority names this gateway.
    pub(in crate::http) fn check<B>(&self, request: &Request<B>) -> Result<(), Error> {
        if is_bare_probe(request) {
            return Ok(());
        }
        let authority = authority(request.uri(), request.headers())?;
        let AllowList::These(names) = &*self.0 else { return Ok(()) };
        let host = authority.host();
        let listed = names.iter().any(|name| name.eq_ignore_ascii_case(host));
        if listed || is_localhost(host) || is_address(host) {
            Ok(())
        } else {
            Err(Error::HostNotAllowed(host.to_owned()))
        }
    }
}

/// Whether a request is a health check as HAProxy and Nagios send it by default: HTTP/1.0, without Host. It is told
/// nothing that a page could use, and browsers do not speak HTTP/1.0.
fn is_bare_probe<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_10
        && matches!(request.uri().path(), "/livez" | "/readyz")
        && !request.headers().contains_key(header::HOST)
}

/// Whether a host is `localhost` or a name under it: both are this machine (RFC 6761, 6.3).
fn is_localhost(host: &str) -> bool {
    match host.rsplit_once('.') {
        None => host.eq_ignore_ascii_case("localhost"),
        Some((name, last)) => {
            last.eq_ignore_ascii_case("localhost") && !name.is_empty() && !name.ends_with('.')
        }
    }
}

/// Whether a host is an IP literal. Brackets stand around IPv6 and nothing else (RFC 3986, 3.2.2): in brackets,
/// an IPv4 address is a name that others may read in their own way.
fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(bare) => bare.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// The authority that a request is meant for: that of its target, or else that of its only `Host`
/// (RFC 9112, 3.2.2).
pub(in crate::http) fn authority(target: &Uri, headers: &HeaderMap) -> Result<Authority, Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().ok_or(Error::HostUnclear)?;
    if hosts.next().is_some() {
        return Err(Error::HostUnclear);
    }
    let authority = match target.authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(host.as_bytes()).map_err(|_| Error::HostUnclear)?,
    };
    let odd_port = authority.port_u16().is_none() && authority.as_str() != authority.host();
    if authority.as_str().contains('@') || authority.host().is_empty() || odd_port {
        return Err(Error::HostUnclear);
    }
    Ok(authority)
}

/// The admin listener's layer.
pub(in crate::http) async fn layer(
    State(hosts): State<Hosts>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    match hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
