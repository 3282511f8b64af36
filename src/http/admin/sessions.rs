//! Owns the dashboard's sessions: a browser cannot send a token with each request, so it gets a cookie
//! instead. Sessions are bounded in number and time, and lost at a restart.
//!
//! The cookie's value is random, and only its hash is kept. The cookie is `HttpOnly`, so that no script reads
//! it, and `SameSite=Strict`, so that no other site's request carries it.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;

use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Duration, Instant};

use crate::core::token::{self, Hash};

/// The lifetime of a session.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// The most sessions at once. One more ends the oldest.
const MOST: usize = 64;
const COOKIE: &str = "taskgate_session";

/// The open sessions, by the hash of their cookies.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Hash, Session>>);

struct Session {
    ends: Instant,
    /// The hash of the token that opened the session.
    token: Hash,
}

impl Sessions {
    /// Opens a session for the holder of this token. Returns its cookie, or `None` if the system gives no
    /// random bytes.
    pub(super) fn open(&self, token: Hash, now: Instant) -> Option<HeaderValue> {
        let secret = token::random()?;
        let mut open = self.open_now(now);
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.ends).map(|(hash, _)| *hash);
            oldest.and_then(|oldest| open.remove(&oldest));
        }
        open.insert(token::hash(&secret), Session { ends: now + LASTS, token });
        cookie(&secret, LASTS)
    }

    /// The session whose cookie these header fields contain.
    pub(super) fn of(&self, headers: &HeaderMap, now: Instant) -> Option<Hash> {
        let hash = token::hash(secret(headers)?);
        self.token(&hash, now).map(|_| hash)
    }

    /// The hash of the token that opened a session; `None` once the session has ended.
    pub(super) fn token(&self, session: &Hash, now: Instant) -> Option<Hash> {
        self.open_now(now).get(session).map(|session| session.token)
    }

    /// Ends the session of these header fields. Returns the cookie that deletes the old one.
    pub(super) fn end(&self, headers: &HeaderMap, now: Instant) -> Option<HeaderValue> {
        if let Some(secret) = secret(headers) {
            self.open_now(now).remove(&token::hash(secret));
        }
        cookie("", Duration::ZERO)
    }

    fn open_now(&self, now: Instant) -> MutexGuard<'_, HashMap<Hash, Session>> {
        let mut open = self.0.lock();
        open.retain(|_, session| now < session.ends);
        open
    }
}

fn cookie(secret: &str, lasts: Duration) -> Option<HeaderValue> {
    let text = format!("{COOKIE}={secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}", lasts.as_secs());
    HeaderValue::try_from(text).ok()
}

fn secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, format!("a=b; {pair}; c=d").parse().unwrap())])
    }

    #[test]
    fn a_session_lasts_half_a_day_and_no_longer() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let cookie = headers(&sessions.open([7; 32], start).unwrap());
        let session = sessions.of(&cookie, start + LASTS - Duration::from_secs(1)).unwrap();
        assert_eq!(sessions.token(&session, start), Some([7; 32]));
        assert_eq!(sessions.of(&cookie, start + LASTS), None);
        assert!(sessions.0.lock().is_empty());
    }

    #[test]
    fn one_too_many_ends_the_oldest() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let open = |number: u32| {
            headers(&sessions.open([0; 32], start + Duration::from_secs(number.into())).unwrap())
        };
        let first = open(0);
        let second = open(1);
        for number in 2..=64 {
            open(number);
        }
        assert_eq!(sessions.of(&first, start), None);
        assert!(sessions.of(&second, start).is_some());
        assert_eq!(sessions.0.lock().len(), MOST);
    }

    #[test]
    fn only_its_own_cookie_opens_a_session() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let cookie = headers(&sessions.open([7; 32], now).unwrap());
        for wrong in
            ["", "taskgate_session=", "taskgate_session=tg_x", "x_taskgate_session=1", "taskgate_session"]
        {
            let headers = HeaderMap::from_iter([(header::COOKIE, wrong.parse().unwrap())]);
            assert_eq!(sessions.of(&headers, now), None, "{wrong}");
        }
        let ended = sessions.end(&cookie, now).unwrap();
        assert!(ended.to_str().unwrap().contains("Max-Age=0"));
        assert_eq!(sessions.of(&cookie, now), None);
    }
}
