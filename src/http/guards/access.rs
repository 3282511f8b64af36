//! Owns the access rules: which client may read or cancel which task. No other code issues grants.
//!
//! Credentials are judged before any look-up, so that a refusal reveals nothing about a task.

use parking_lot::RwLock;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
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
    /// Replaced as a whole when the token file or the secret file changes.
    keys: RwLock<Arc<Keys>>,
    proxies: Proxies,
    clock: fn() -> SystemTime,
}

/// The tokens and the ticket secrets.
struct Keys {
    tokens: Tokens,
    tickets: Keyring,
}

/// A client whose credentials were judged, and the rights that they give.
pub(in crate::http) struct Caller {
    client: Client,
    reach: Reach,
    /// When the rights end: the `exp` of a ticket.
    ends: Option<Instant>,
    may_cancel: bool,
}

/// The tasks that a caller may read.
enum Reach {
    Everything,
    /// The tasks with these ids, on any route.
    Tasks(Vec<String>),
}

impl Access {
    /// The rules of these settings. `clock` is the wall clock, by which tickets expire.
    pub fn new(settings: &config::Settings, clock: fn() -> SystemTime) -> Self {
        let proxies = Proxies::new(&settings.server.trusted_proxies);
        let keys = RwLock::new(Arc::new(Keys::new(&settings.access)));
        Self { mode: settings.access.mode, keys, proxies, clock }
    }

    /// Replaces tokens and secrets. Requests and streams already accepted keep their rights until those end.
    pub fn renew(&self, settings: &config::Access) {
        *self.keys.write() = Arc::new(Keys::new(settings));
    }

    /// Whether a peer at this address is a trusted proxy, which carries the requests of many clients.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.trusts(address)
    }

    /// Judges the credentials of a request. Open mode accepts every client and ignores credentials: scripts
    /// written for the upstream still send their `Authorization`.
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

    /// Whether any token is configured.
    pub(in crate::http) fn has_tokens(&self) -> bool {
        !self.keys().tokens.is_empty()
    }

    /// The hash of a request's token, in either mode. A ticket is refused.
    pub(in crate::http) fn token<B>(&self, request: &Request<B>) -> Result<Hash, Error> {
        let text = bearer(request)?.ok_or(Error::MissingCredentials)?;
        self.keys().by_token(text).map(|_| token::hash(text))
    }

    /// Whether the token with this hash is still valid.
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
    /// The client, by whose name limits are counted.
    pub(in crate::http) fn client(&self) -> &Client {
        &self.client
    }

    /// When the caller's rights end, if they do.
    pub(in crate::http) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// The right to read a task, which need not exist.
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

/// The credentials of `Authorization: Bearer` (RFC 6750, 2.1). Other schemes are ignored: they are meant for
/// another receiver, such as a proxy in front.
fn bearer<B>(request: &Request<B>) -> Result<Option<&str>, Error> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::InvalidCredentials(CredentialFault::Several));
    }
    let parts = value.to_str().ok().and_then(|value| value.split_once(' '));
    Ok(parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, text)| text.trim()))
}

/// The ticket in `?ticket=`, for `EventSource`, which cannot set header fields.
fn ticket_parameter<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let query = request.uri().query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket").map(|(_, text)| text)
}

/// Whether the text has the form of a JWT: three parts, the first a JSON object in base64. No token of the
/// gateway has it.
fn looks_like_ticket(text: &str) -> bool {
    let mut parts = text.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    URL_SAFE_NO_PAD.decode(header).is_ok_and(|header| header.trim_ascii_start().starts_with(b"{"))
}
