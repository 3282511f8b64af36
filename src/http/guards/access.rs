//! Owns who may read and cancel what: the only place that issues grants.
//!
//! Credentials are judged before anything is looked up, so that a refusal tells nothing about a task.

use parking_lot::RwLock;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, header};
use tokio::time::Instant;
use url::form_urlencoded;

use super::forwarded::Proxies;
use crate::config::{self, AccessMode};
use crate::core::grant::{CancelGrant, Client, Grant};
use crate::core::task::TaskKey;
use crate::core::ticket::Keyring;
use crate::core::token::{self, Hash, Tokens};
use crate::http::respond::error::{CredentialFault, Error};

/// The access rules.
pub struct Access {
    mode: AccessMode,
    /// Replaced as a whole when the files change.
    keys: RwLock<Arc<Keys>>,
    proxies: Proxies,
    clock: fn() -> SystemTime,
}

/// What lets a client in.
struct Keys {
    tokens: Tokens,
    tickets: Keyring,
}

/// Somebody who was let in: who it is, and how far that reaches.
pub(in crate::http) struct Caller {
    client: Client,
    reach: Reach,
    /// When the right ends.
    ends: Option<Instant>,
    may_cancel: bool,
}

enum Reach {
    Everything,
    /// These ids, on any route.
    Tasks(Vec<String>),
}

impl Access {
    /// Takes what it needs of the settings; `clock` is the wall clock, by which tickets end.
    pub fn new(settings: &config::Settings, clock: fn() -> SystemTime) -> Self {
        let proxies = Proxies::new(&settings.server.trusted_proxies);
        let keys = RwLock::new(Arc::new(Keys::new(&settings.access)));
        Self { mode: settings.access.mode, keys, proxies, clock }
    }

    /// Takes tokens and secrets anew. Who was let in before stays until its right ends.
    pub fn renew(&self, settings: &config::Access) {
        *self.keys.write() = Arc::new(Keys::new(settings));
    }

    /// Judges who asks. In open mode that is anybody, whatever it sends along: scripts written for the upstream
    /// go on sending their `Authorization`.
    pub(in crate::http) fn caller<B>(&self, request: &Request<B>, peer: SocketAddr) -> Result<Caller, Error> {
        let address = Client::at(self.proxies.client(peer, request.headers()));
        if self.mode == AccessMode::Open {
            return Ok(Caller { client: address, reach: Reach::Everything, ends: None, may_cancel: false });
        }
        let keys = self.keys();
        match (bearer(request)?, ticket_parameter(request)) {
            (Some(text), _) if !looks_like_ticket(text) => keys.by_token(text),
            (Some(text), _) => self.by_ticket(&keys, text, address),
            (None, Some(text)) => self.by_ticket(&keys, &text, address),
            (None, None) => Err(Error::MissingCredentials),
        }
    }

    /// Whether there is any token to let somebody in by.
    pub(in crate::http) fn has_tokens(&self) -> bool {
        !self.keys().tokens.is_empty()
    }

    /// The hash of the token that a request shows, whatever the mode: a ticket is none.
    pub(in crate::http) fn token<B>(&self, request: &Request<B>) -> Result<Hash, Error> {
        let text = bearer(request)?.ok_or(Error::MissingCredentials)?;
        self.keys().by_token(text).map(|_| token::hash(text))
    }

    /// Whether a token of this hash still lets its holder in.
    pub(in crate::http) fn holds(&self, token: &Hash) -> bool {
        self.keys().tokens.holds(token)
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read())
    }

    fn by_ticket(&self, keys: &Keys, text: &str, address: Client) -> Result<Caller, Error> {
        let refused = |fault| Error::InvalidCredentials(CredentialFault::Ticket(fault));
        let ticket = keys.tickets.verify(text, (self.clock)()).map_err(refused)?;
        Ok(Caller {
            client: ticket.user.map_or(address, Client::User),
            reach: Reach::Tasks(ticket.tasks),
            ends: Some(Instant::now() + ticket.lasts),
            may_cancel: ticket.may_cancel,
        })
    }
}

impl Keys {
    fn new(settings: &config::Access) -> Self {
        Self { tokens: settings.tokens.clone(), tickets: settings.ticket_secrets.clone() }
    }

    fn by_token(&self, text: &str) -> Result<Caller, Error> {
        let fault = if text.starts_with("sk-") {
            CredentialFault::UpstreamKey
        } else {
            CredentialFault::UnknownToken
        };
        let name = self.tokens.name_of(text).ok_or(Error::InvalidCredentials(fault))?;
        Ok(Caller { client: Client::Named(name), reach: Reach::Everything, ends: None, may_cancel: true })
    }
}

impl Caller {
    /// Who it is.
    pub(in crate::http) fn client(&self) -> &Client {
        &self.client
    }

    /// When its right ends, if it does.
    pub(in crate::http) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// The right to read a task, whether there is such a task or not.
    pub(in crate::http) fn grant(&self, key: TaskKey) -> Result<Grant, Error> {
        self.reaches(&key)?;
        Ok(Grant::issue(key, self.client.clone(), self.ends))
    }

    /// The right to cancel a task.
    pub(in crate::http) fn grant_cancel(&self, key: TaskKey) -> Result<CancelGrant, Error> {
        self.reaches(&key)?;
        if self.may_cancel {
            Ok(CancelGrant::issue(key, self.client.clone()))
        } else {
            Err(Error::MayNotCancel)
        }
    }

    fn reaches(&self, key: &TaskKey) -> Result<(), Error> {
        match &self.reach {
            Reach::Everything => Ok(()),
            Reach::Tasks(ids) if ids.iter().any(|id| id == key.id()) => Ok(()),
            Reach::Tasks(_) => Err(Error::TicketNotForTask),
        }
    }
}

/// The credentials of `Authorization: Bearer` (RFC 6750, 2.1). Another scheme is meant for somebody else, such
/// as a proxy in front.
fn bearer<B>(request: &Request<B>) -> Result<Option<&str>, Error> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::InvalidCredentials(CredentialFault::Several));
    }
    let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
    Ok(parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, text)| text.trim()))
}

/// `?ticket=`, for `EventSource`, which cannot send headers.
fn ticket_parameter<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let query = request.uri().query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket").map(|(_, text)| text)
}

/// A JWT is three parts, and the first is a JSON object in base64. No token made here is.
fn looks_like_ticket(text: &str) -> bool {
    let mut parts = text.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    URL_SAFE_NO_PAD.decode(header).is_ok_and(|header| header.trim_ascii_start().starts_with(b"{"))
}
