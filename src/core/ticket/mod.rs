//! Owns tickets: the right to read certain tasks for a while, signed by a back end for a browser.
//!
//! A ticket is a JWT (RFC 7519) with HS256 and nothing else, so that any JWT library makes one. `tasks` and
//! `exp` are required. Time is an argument, and there is no leeway: at `exp` it is over.

mod hs256;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The furthest that `exp` may lie ahead.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest secret, in bytes: as long as the hash (RFC 7518, 3.2).
pub const SHORTEST_SECRET: usize = 32;
/// The longest ticket, in bytes. Room for a hundred ids and more.
pub const LONGEST: usize = 8 * 1024;

/// The longest `sub`, in bytes: limits remember many of them.
pub const LONGEST_USER: usize = 256;

/// What a back end signs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claims {
    /// The ids of the tasks it opens, on any route.
    pub tasks: Vec<String>,
    /// Until when, in seconds since 1970.
    pub exp: u64,
    /// The user: limits are counted and turns are taken by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whether it also cancels its tasks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
}

/// What stands in a ticket. Others may write more than is needed, and times with a fraction (RFC 7519, 2).
#[derive(Deserialize)]
struct Written {
    tasks: Vec<String>,
    exp: f64,
    nbf: Option<f64>,
    aud: Option<IgnoredAny>,
    sub: Option<User>,
    #[serde(default)]
    cancel: bool,
}

/// A user's name; ids of databases are numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum User {
    Name(String),
    Number(i64),
}

/// A ticket that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// The ids of the tasks it opens, on any route.
    pub tasks: Vec<String>,
    /// How long it still lasts.
    pub lasts: Duration,
    /// The user, where it names one.
    pub user: Option<Arc<str>>,
    /// Whether it also cancels its tasks.
    pub may_cancel: bool,
}

/// Why a ticket does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketFault {
    /// No JWT, or one whose claims have the wrong form.
    #[error(
        "it is no JWT with `tasks` (an array of ids) and `exp` (seconds since 1970, a number); where they are there, \
         `sub` is text or a whole number, and `cancel` true or false"
    )]
    Malformed,
    /// More than [`LONGEST`].
    #[error("it is longer than 8 KiB; name fewer tasks in it")]
    TooLarge,
    /// Its `sub` is more than [`LONGEST_USER`].
    #[error("its `sub` is longer than 256 bytes")]
    LongUser,
    /// Another algorithm, or demands in its header that nobody here fulfils.
    #[error("it is not signed with plain HS256")]
    Algorithm,
    /// None of the secrets has signed it, or it was changed after that.
    #[error("its signature is not by a secret of this gateway")]
    Signature,
    /// It names an audience.
    #[error("it has an `aud`, so it is meant for somebody else; leave `aud` out")]
    Audience,
    /// `exp` has come.
    #[error("it has expired; get a new one")]
    Expired,
    /// `nbf` has not come.
    #[error("its `nbf` is still ahead; check the clocks")]
    NotYet,
    /// `exp` lies more than [`LONGEST_LIFE`] ahead.
    #[error("its `exp` is more than 24 h ahead; let it end sooner")]
    TooLong,
}

/// The secrets of tickets: the first signs, all verify, so that one can be replaced while tickets of the other
/// are still out. `Debug` shows none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Vec<u8>>);

impl Keyring {
    /// Takes secrets of at least [`SHORTEST_SECRET`] bytes each.
    pub fn new(secrets: Vec<Vec<u8>>) -> Self {
        hs256::install();
        Self(secrets)
    }

    /// Whether there is none: then no ticket holds.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Signs a ticket; `None` without a secret.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        let secret = self.0.first()?;
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).ok()
    }

    /// Judges a ticket at `now`.
    ///
    /// # Errors
    /// The first [`TicketFault`] found; before the signature is known to be good, nothing of what it signs.
    pub fn verify(&self, text: &str, now: SystemTime) -> Result<Ticket, TicketFault> {
        if text.len() > LONGEST {
            return Err(TicketFault::TooLarge);
        }
        let claims = self.written(text)?;
        if claims.aud.is_some() {
            return Err(TicketFault::Audience);
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        if claims.nbf.is_some_and(|nbf| nbf > now) {
            return Err(TicketFault::NotYet);
        }
        let lasts = claims.exp - now;
        if lasts <= 0.0 {
            return Err(TicketFault::Expired);
        }
        if lasts > LONGEST_LIFE.as_secs_f64() {
            return Err(TicketFault::TooLong);
        }
        // No larger than a day, so it always is a duration.
        let lasts = Duration::try_from_secs_f64(lasts).unwrap_or_default();
        let user = match claims.sub {
            Some(User::Name(name)) if name.len() > LONGEST_USER => return Err(TicketFault::LongUser),
            Some(User::Name(name)) => Some(Arc::from(name)).filter(|name: &Arc<str>| !name.is_empty()),
            Some(User::Number(number)) => Some(number.to_string().into()),
            None => None,
        };
        Ok(Ticket { tasks: claims.tasks, lasts, user, may_cancel: claims.cancel })
    }

    fn written(&self, text: &str) -> Result<Written, TicketFault> {
        let mut fault = TicketFault::Signature;
        for secret in &self.0 {
            match decode::<Written>(text, &DecodingKey::from_secret(secret), &validation()) {
                Ok(data) if data.header.crit.is_none() => return Ok(data.claims),
                // RFC 7515, 4.1.11: what is critical and not understood makes it invalid.
                Ok(_) => return Err(TicketFault::Algorithm),
                Err(error) => fault = fault_of(error.kind()),
            }
            if fault != TicketFault::Signature {
                break;
            }
        }
        Err(fault)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {}", self.0.len())
    }
}

/// Times and audience are judged in [`Keyring::verify`]: the crate asks the system's clock, rounds, and passes over an
/// audience that it cannot read.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn fault_of(kind: &ErrorKind) -> TicketFault {
    match kind {
        ErrorKind::InvalidSignature => TicketFault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TicketFault::Algorithm,
        _ => TicketFault::Malformed,
    }
}
