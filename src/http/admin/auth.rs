//! Owns the right to use the dashboard and the purge: on a loopback listener every client has it, otherwise
//! the holders of a token.

use std::sync::Arc;

use axum::extract::Request;
use tokio::time::Instant;

use super::sessions::Sessions;
use crate::config::Settings;
use crate::core::token::Hash;
use crate::http::guards::access::Access;
use crate::http::respond::error::Error;

/// The rule of the admin listener.
pub(super) struct Auth {
    /// `None` on loopback, where no token is needed.
    access: Option<Arc<Access>>,
    pub(super) sessions: Sessions,
}

/// The right by which a request was accepted. It may end while its stream is open.
pub(super) enum Right {
    /// The listener is on loopback, so the client is on this machine.
    Loopback,
    /// The request has the token with this hash.
    Token(Hash),
    /// The request has the cookie of the session with this hash.
    Session(Hash),
}

impl Auth {
    pub(super) fn new(settings: &Settings, access: Arc<Access>) -> Self {
        let is_loopback = settings.admin.listen.is_some_and(|listen| listen.ip().is_loopback());
        Self { access: (!is_loopback).then_some(access), sessions: Sessions::default() }
    }

    /// The right of a request.
    pub(super) fn right(&self, request: &Request) -> Result<Right, Error> {
        let Some(access) = &self.access else { return Ok(Right::Loopback) };
        if !access.has_tokens() {
            return Err(Error::DashboardClosed);
        }
        match access.token(request) {
            Ok(token) => Ok(Right::Token(token)),
            Err(Error::MissingCredentials) => {
                let session = self.sessions.of(request.headers(), Instant::now()).map(Right::Session);
                session.filter(|right| self.holds(right)).ok_or(Error::MissingCredentials)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a right is still valid.
    pub(super) fn holds(&self, right: &Right) -> bool {
        let Some(access) = &self.access else { return true };
        match right {
            Right::Loopback => true,
            Right::Token(token) => access.holds(token),
            Right::Session(session) => {
                self.sessions.token(session, Instant::now()).is_some_and(|token| access.holds(&token))
            }
        }
    }
}
