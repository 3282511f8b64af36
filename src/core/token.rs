//! Owns tokens, with which a program may read any task. Only their SHA-256 is kept, so that a leaked token
//! file opens no task.

use std::fmt;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

use super::{hex, sha256};

/// The beginning of every token made here, by which people and secret scanners recognise one.
pub const PREFIX: &str = "tg_";
const LONGEST_NAME: usize = 64;
const RANDOM_BYTES: usize = 32;

/// The SHA-256 of a token.
pub type Hash = [u8; 32];

/// The accepted tokens, by name. `Debug` shows only the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(Vec<(Arc<str>, Hash)>);

impl Tokens {
    /// Takes names and hashes. A name may occur twice, for the time in which one token replaces another.
    pub fn new(tokens: Vec<(Arc<str>, Hash)>) -> Self {
        Self(tokens)
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the token with this hash is accepted.
    pub fn holds(&self, hash: &Hash) -> bool {
        self.find(hash).is_some()
    }

    /// The name of a token; `None` where the token is not accepted.
    pub fn name_of(&self, token: &str) -> Option<Arc<str>> {
        self.find(&hash(token)).cloned()
    }

    /// Compares with every hash in constant time, so that the duration reveals no hash.
    fn find(&self, hash: &Hash) -> Option<&Arc<str>> {
        let mut found = None;
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(hash)) {
                found = Some(name);
            }
        }
        found
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Whether a text can be the name of a token: names occur in lines of the token file and of the log. A text
/// with the prefix of a token is refused, because it is a token in the wrong place.
pub fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_plain) && !text.starts_with(PREFIX)
}

/// The hash of a token, as the token file holds it.
pub fn hash(token: &str) -> Hash {
    sha256::hash(token.as_bytes())
}

/// A new token: 256 bits of the system's randomness. `None` where the system's generator fails.
pub fn random() -> Option<String> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(format!("{PREFIX}{}", hex::encode(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let tokens = Tokens::new(vec![
            ("web".into(), hash("tg_1")),
            ("ci".into(), hash("tg_2")),
            ("web".into(), hash("tg_3")),
        ]);
        for (token, name) in [("tg_1", "web"), ("tg_2", "ci"), ("tg_3", "web")] {
            assert_eq!(tokens.name_of(token).as_deref(), Some(name));
        }
        for wrong in ["", "tg_", "tg_11", "TG_1", "tg_1 ", &hex::encode(&hash("tg_1"))] {
            assert_eq!(tokens.name_of(wrong), None, "{wrong}");
        }
        assert_eq!(Tokens::default().name_of("tg_1"), None);
    }

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        // printf %s tg_1 | sha256sum
        assert_eq!(
            hex::encode(&hash("tg_1")),
            "704343491b7de8998d6483c98faa5bfed02aa0b165bd56eb2d9dec563644ffe6"
        );
    }

    #[test]
    fn new_tokens_are_long_and_differ() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("tg_") && one.len() == 3 + 64, "{one}");
    }

    #[test]
    fn debug_shows_names_alone() {
        let tokens = Tokens::new(vec![("web".into(), hash("tg_1"))]);
        assert_eq!(format!("{tokens:?}"), r#"["web"]"#);
    }
}
