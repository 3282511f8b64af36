//! Owns tickets: the right to read certain tasks for a while, signed by a back end for a browser.
//!
//! A ticket is a JWT (RFC 7519) with HS256 and no other algorithm, so that any JWT library can make one.
//! `tasks` and `exp` are required. Time is an argument, and there is no leeway: a ticket expires at `exp`.

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

/// The longest time by which `exp` may lie ahead.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest secret, in bytes: the length of the hash (RFC 7518, 3.2).
pub const SHORTEST_SECRET: usize = 32;
/// The longest ticket, in bytes. It has room for more than a hundred ids.
pub const LONGEST: usize = 8 * 1024;

/// The longest `sub`, in bytes. It is bounded because the limits of clients remember many of them.
pub const LONGEST_USER: usize = 256;

/// The claims that a back end signs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claims {
    /// The ids of the tasks that the ticket opens, on any route.
    pub tasks: Vec<String>,
    /// The expiry, in seconds since 1970.
    pub exp: u64,
    /// The user. Limits are counted and turns are taken by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whether its holder may also cancel these tasks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
}

/// The claims of a received ticket. Back ends may write other claims too, and times with a fraction (RFC
/// 7519, 2).
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

/// The name of a user. It may be a number, as the ids of databases are.
#[derive(Deserialize)]
#[serde(untagged)]
enum User {
    Name(String),
    Number(i64),
}

/// A valid ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// The ids of the tasks that the ticket opens, on any route.
    pub tasks: Vec<String>,
    /// The time until the ticket expires.
    pub lasts: Duration,
    /// The user, where the ticket names one.
    pub user: Option<Arc<str>>,
    /// Whether its holder may also cancel these tasks.
    pub may_cancel: bool,
}

/// The fault of an invalid ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketFault {
    /// No JWT, or one whose claims have the wrong form.
    #[error(
        "it is no JWT with `tasks` (an array of ids) and `exp` (seconds since 1970, a number); where they are there, \
         `sub` is text or a whole number, and `cancel` true or false"
    )]
    Malformed,
    /// The ticket is longer than [`LONGEST`].
    #[error("it is longer than 8 KiB; name fewer tasks in it")]
    TooLarge,
    /// The `sub` is longer than [`LONGEST_USER`].
    #[error("its `sub` is longer than 256 bytes")]
    LongUser,
    /// Another algorithm, or a `crit` in its header (RFC 7515, 4.1.11), of which no extension is supported.
    #[error("it is not signed with plain HS256")]
    Algorithm,
    /// None of the secrets has signed it, or it was changed after that.
    #[error("its signature is not by a secret of this gateway")]
    Signature,
    /// The ticket names an audience.
    #[error("it has an `aud`, so it is meant for another recipient; leave `aud` out")]
    Audience,
    /// `exp` is reached.
    #[error("it has expired; get a new one")]
    Expired,
    /// `nbf` lies ahead.
    #[error("its `nbf` is still ahead; check the clocks")]
    NotYet,
    /// `exp` lies more than [`LONGEST_LIFE`] ahead.
    #[error("its `exp` is more than 24 h ahead; let it end sooner")]
    TooLong,
}

/// The secrets of tickets: the first signs, all verify, so that a secret can be replaced while tickets that
/// it has signed are still in use. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Vec<u8>>);

impl Keyring {
    /// Takes secrets of at least [`SHORTEST_SECRET`] bytes each.
    pub fn new(secrets: Vec<Vec<u8>>) -> Self {
        hs256::install();
        Self(secrets)
    }

    /// Whether there is no secret: then no ticket is valid.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Signs a ticket; `None` without a secret.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        let secret = self.0.first()?;
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).ok()
    }

    /// Verifies a ticket at `now`.
    ///
    /// # Errors
    /// The first [`TicketFault`] found. A fault in the claims is reported only if the signature is good.
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
        // At most a day, so the conversion cannot fail.
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
                // RFC 7515, 4.1.11: a critical extension that is not understood makes the ticket invalid.
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

/// The crate's checks, without times and audience. [`Keyring::verify`] checks those, because the crate asks
/// the system's clock, rounds, and passes over an audience that it cannot read.
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
