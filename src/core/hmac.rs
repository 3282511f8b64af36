//! Owns HMAC with SHA-256 (RFC 2104), as ring computes it.

use ring::hmac;

/// A key. It cannot be printed.
pub struct Key(hmac::Key);

impl Key {
    /// A key of these bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The code of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut code = [0; 32];
        code.copy_from_slice(hmac::sign(&self.0, message).as_ref());
        code
    }

    /// Whether this is the code of the message. Takes the same time wherever they differ.
    pub fn verifies(&self, message: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.0, message, code).is_ok()
    }
}
