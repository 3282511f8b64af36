//! Owns the Origin rule: the pages that may read. It is checked before credentials, limits and tasks.

use http::uri::Authority;
use http::{HeaderValue, Request, header};

use super::host;
use crate::config::{AccessMode, AllowList, Settings};
use crate::http::respond::error::Error;

/// The origins whose pages may read.
pub(in crate::http) struct AllowedOrigins {
    listed: AllowList,
    /// Allows pages of this machine, such as those of dev servers, on any port: in open mode on loopback.
    local_pages: bool,
}

impl AllowedOrigins {
    pub(in crate::http) fn new(settings: &Settings) -> Self {
        Self {
            listed: settings.server.allowed_origins.clone(),
            local_pages: settings.access.mode == AccessMode::Open
                && settings.server.listen.ip().is_loopback(),
        }
    }

    /// Whether a page of `origin` may read from the gateway at the authority `asked`.
    pub(in crate::http) fn allows(&self, origin: &HeaderValue, asked: &Authority) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let is_listed = match &self.listed {
            AllowList::Any => origin != "null",
            AllowList::These(origins) => origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
        };
        is_listed || self.is_local_or_own(origin, asked)
    }

    fn is_local_or_own(&self, origin: &str, asked: &Authority) -> bool {
        let (default_port, authority) = match origin.split_once("://") {
            Some(("http", authority)) => (80, authority),
            Some(("https", authority)) => (443, authority),
            _ => return false,
        };
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
        let is_own = authority.host().eq_ignore_ascii_case(asked.host()) && port(&authority) == port(asked);
        let is_local = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
        is_own || (self.local_pages && is_local)
    }
}

/// Whether a request has no `Origin`, or the listener's own.
pub(in crate::http) fn is_own<B>(request: &Request<B>) -> bool {
    check(&AllowedOrigins { listed: AllowList::These(Vec::new()), local_pages: false }, request).is_ok()
}

/// Accepts a request that has no `Origin`, or an allowed one.
pub(in crate::http) fn check<B>(origins: &AllowedOrigins, request: &Request<B>) -> Result<(), Error> {
    let mut values = request.headers().get_all(header::ORIGIN).iter();
    let Some(origin) = values.next() else { return Ok(()) };
    let asked = host::authority(request.uri(), request.headers())?;
    if values.next().is_none() && origins.allows(origin, &asked) {
        return Ok(());
    }
    Err(Error::OriginNotAllowed(String::from_utf8_lossy(origin.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(listed: AllowList, local_pages: bool, origin: &'static str, asked: &str) -> bool {
        AllowedOrigins { listed, local_pages }
            .allows(&HeaderValue::from_static(origin), &asked.parse().unwrap())
    }

    fn none() -> AllowList {
        AllowList::These(Vec::new())
    }

    #[test]
    fn local_pages_are_exact() {
        for origin in
            ["http://localhost:5173", "https://localhost", "http://127.0.0.1:1", "http://[::1]:3000"]
        {
            assert!(allows(none(), true, origin, "127.0.0.1:8787"), "{origin}");
            assert!(!allows(none(), false, origin, "127.0.0.1:8787"), "{origin}");
        }
        for origin in [
            "null",
            "http://localhost.evil",
            "http://localhost.evil:5173",
            "http://evil",
            "http://127.0.0.1.evil",
            "http://x@localhost",
            "file://localhost",
            "localhost",
            "",
        ] {
            assert!(!allows(none(), true, origin, "127.0.0.1:8787"), "{origin}");
        }
    }

    #[test]
    fn the_gateways_own_pages_may_read() {
        assert!(allows(none(), false, "http://gw.lan:8787", "gw.lan:8787"));
        assert!(allows(none(), false, "https://gw.lan", "gw.lan"), "TLS ends in front of it");
        assert!(allows(none(), false, "http://gw.lan", "GW.lan:80"));
        assert!(!allows(none(), false, "http://gw.lan:1", "gw.lan:8787"));
        assert!(!allows(none(), false, "http://other.lan:8787", "gw.lan:8787"));
    }

    #[test]
    fn listed_origins_are_exact_and_null_never_is() {
        let listed = || AllowList::These(vec!["https://app.example.com".to_owned()]);
        assert!(allows(listed(), false, "https://app.example.com", "gw"));
        for origin in ["http://app.example.com", "https://app.example.com:444", "https://x.app.example.com"] {
            assert!(!allows(listed(), false, origin, "gw"), "{origin}");
        }
        assert!(allows(AllowList::Any, false, "https://anything", "gw"));
        assert!(!allows(AllowList::Any, false, "null", "gw"));
    }
}
