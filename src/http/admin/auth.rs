//! Owns who may see the dashboard and purge: everybody on this machine where the listener is on loopback, otherwise
//! the holder of a token.

use std::sync::Arc;

use axum::extract::Request;
use tokio::time::Instant;

use super::sessions::Sessions;
use crate::config::Settings;
use crate::core::token::Hash;
use crate::http::guards::access::Access;
use crate::http::respond::error::Error;

/// The rule.
pub(super) struct Auth {
    /// `None` where no token is asked for.
    access: Option<Arc<Access>>,
    pub(super) sessions: Sessions,
}

/// By what right somebody is in: it may end while a stream is open.
pub(super) enum Right {
    /// On this machine.
    Near,
    /// By this token.
    Token(Hash),
    /// By a session that a token has opened.
    Session(Hash),
}

impl Auth {
    pub(super) fn new(settings: &Settings, access: Arc<Access>) -> Self {
        let is_near = settings.admin.listen.is_some_and(|listen| listen.ip().is_loopback());
        Self { access: (!is_near).then_some(access), sessions: Sessions::default() }
    }

    /// Lets somebody in.
    pub(super) fn right(&self, request: &Request) -> Result<Right, Error> {
        let Some(access) = &self.access else { return Ok(Right::Near) };
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

    /// Whether a right still holds.
    pub(super) fn holds(&self, right: &Right) -> bool {
        let Some(access) = &self.access else { return true };
        match right {
            Right::Near => true,
            Right::Token(token) => access.holds(token),
            Right::Session(session) => {
                self.sessions.token(session, Instant::now()).is_some_and(|token| access.holds(&token))
            }
        }
    }
}
