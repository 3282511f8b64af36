//! Owns the name of the request that causes what goes on, for the log lines about it.
//!
//! It travels as a value: a span for each request would cost a miss more than all its look-ups in the store. Only
//! where a line is written is it made into one.

use std::future::Future;

use tokio::task_local;
use tracing::Span;

use super::hex;

task_local! {
    static CAUSE: Cause;
}

/// The longest name of a request, in bytes.
const MAX_NAME: usize = 64;

/// The name of a request. The text itself and no pointer to it: who waits with many others carries it along, and would
/// have to look elsewhere for it, and give it back there.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    text: [u8; MAX_NAME],
    length: u8,
}

impl Name {
    /// Takes a name that is short, and of characters that no log or header can misread.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.iter().all(is_sane) {
            return None;
        }
        let mut text = [0; MAX_NAME];
        text.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { text, length: u8::try_from(name.len()).ok()? })
    }

    /// Draws one by lot.
    pub fn draw() -> Self {
        let mut text = [0; MAX_NAME];
        hex::write(fastrand::u128(..).to_le_bytes(), &mut text);
        Self { text, length: 32 }
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length.into()).unwrap_or_default()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// What causes something: a request, or nobody in particular.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cause(Option<Name>);

impl Cause {
    /// The request of this name.
    pub fn request(name: Name) -> Self {
        Self(Some(name))
    }

    /// What causes the work that is being done now.
    pub fn current() -> Self {
        CAUSE.try_with(|cause| *cause).unwrap_or_default()
    }

    /// Runs work that this causes, to its end.
    pub fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CAUSE.scope(self, work)
    }

    /// Does at once what this causes.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        CAUSE.sync_scope(self, work)
    }

    fn span(&self) -> Span {
        match &self.0 {
            // An error's level: no filter that lets a line through may drop the name of its request.
            Some(name) => tracing::error_span!("request", request_id = name.as_str()),
            None => Span::none(),
        }
    }
}

/// Writes log lines that name what causes the work that is being done now.
pub fn log<T>(lines: impl FnOnce() -> T) -> T {
    Cause::current().span().in_scope(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_names_are_names() {
        let longest = "a".repeat(64);
        for name in ["a", "0af7651916cd43dd8448eb211c80319c", "web-1.2_3", &longest] {
            assert_eq!(Name::parse(name.as_bytes()).unwrap().as_str(), name);
        }
        let too_long = "a".repeat(65);
        for name in ["", "a b", "a\"b", "<script>", "a;b", "a\0", "ä", &too_long] {
            assert!(Name::parse(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn drawn_names_are_names_and_differ() {
        let drawn = Name::draw();
        assert_eq!(Name::parse(drawn.as_bytes()).unwrap().as_str().len(), 32);
        assert_ne!(drawn.as_str(), Name::draw().as_str());
    }
}
