//! Owns the id of a client's request, which log lines and answers name.

use super::hex;

/// The longest id, in bytes.
const LONGEST: usize = 64;

/// The id of a request. Inline, not on the heap: thousands of waiters hold one.
#[derive(Debug, Clone, Copy)]
pub struct RequestId {
    text: [u8; LONGEST],
    length: u8,
}

impl RequestId {
    /// Takes an id that is short, and of characters that no log or header can misread.
    pub fn parse(id: &[u8]) -> Option<Self> {
        let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || !id.iter().all(is_sane) {
            return None;
        }
        let mut text = [0; LONGEST];
        text.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { text, length: u8::try_from(id.len()).ok()? })
    }

    /// A random id: 128 bits in hexadecimal.
    pub fn random() -> Self {
        let mut text = [0; LONGEST];
        hex::write(fastrand::u128(..).to_le_bytes(), &mut text);
        Self { text, length: 32 }
    }

    /// The text of the id, as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length.into()).unwrap_or_default()
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_taken() {
        let longest = "a".repeat(64);
        for id in ["a", "0af7651916cd43dd8448eb211c80319c", "web-1.2_3", &longest] {
            assert_eq!(RequestId::parse(id.as_bytes()).unwrap().as_str(), id);
        }
        let too_long = "a".repeat(65);
        for id in ["", "a b", "a\"b", "<script>", "a;b", "a\0", "ä", &too_long] {
            assert!(RequestId::parse(id.as_bytes()).is_none(), "{id}");
        }
    }

    #[test]
    fn random_ids_are_sane_and_differ() {
        let random = RequestId::random();
        assert_eq!(RequestId::parse(random.as_bytes()).unwrap().as_str().len(), 32);
        assert_ne!(random.as_str(), RequestId::random().as_str());
    }
}
