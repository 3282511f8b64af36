//! Owns the removal of the API key from bytes that pass: an upstream may echo it in any answer. The number of bytes
//! stays, because it was announced.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::credentials::Credentials;

/// Bytes that have to pass a sieve.
pub(super) struct Sieve {
    credentials: Arc<Credentials>,
    /// The end of what came last, with which a key may begin.
    held: Bytes,
}

impl Sieve {
    pub(super) fn new(credentials: Arc<Credentials>) -> Self {
        Self { credentials, held: Bytes::new() }
    }

    /// What may go on of everything that has come so far. Bytes without a key are not copied, unless a key could have
    /// begun in the last ones.
    pub(super) fn pass(&mut self, bytes: Bytes) -> Bytes {
        let mut bytes = if self.held.is_empty() {
            bytes
        } else {
            let mut joined = BytesMut::from(&self.held[..]);
            joined.extend_from_slice(&bytes);
            joined.freeze()
        };
        if let Some(covered) = self.credentials.scrub.covered_in_place(&bytes) {
            bytes = covered.into();
        }
        self.held = bytes.split_off(bytes.len() - self.credentials.scrub.begins_in(&bytes));
        bytes
    }

    /// The last bytes, behind which nothing comes.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn sieve(key: &str) -> Sieve {
        let env = [("LEMONDATA_API_KEY", key), ("TASKGATE_ACCESS__MODE", "open")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = load(&Sources { file: None, env }).unwrap();
        Sieve::new(Arc::new(Credentials::new(&settings.upstream, &[]).unwrap()))
    }

    #[test]
    fn the_key_is_covered_wherever_the_bytes_are_cut() {
        let key = "sk-abcabcabd";
        for text in
            [key, "xx sk-abcabcabd yy", "sk-abcabcabdsk-abcabcabd", "sk-abcsk-abcabcabd", "sk-abcabca", ""]
        {
            let covered = text.replace(key, "************");
            for cut in 0..=text.len() {
                for second in cut..=text.len() {
                    let mut sieve = sieve(key);
                    let mut passed = Vec::new();
                    for part in [&text[..cut], &text[cut..second], &text[second..]] {
                        passed.extend_from_slice(&sieve.pass(Bytes::copy_from_slice(part.as_bytes())));
                    }
                    passed.extend_from_slice(&sieve.rest());
                    assert_eq!(
                        String::from_utf8(passed).unwrap(),
                        covered,
                        "{text} cut at {cut} and {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn other_bytes_pass_uncopied_and_at_once() {
        let mut sieve = sieve("sk-abcabcabd");
        let bytes = Bytes::from(vec![7; 1000]);
        let passed = sieve.pass(bytes.clone());
        assert_eq!((passed.as_ptr(), passed.len()), (bytes.as_ptr(), 1000));
        assert!(sieve.rest().is_empty());
    }
}
