//! Owns the status in an answer: where it stands, which values count, and which of them end a task.

use serde_json::value::RawValue;

use super::json::Pointer;

/// The status of a route's answers.
pub(super) struct Status {
    pointer: Pointer,
    /// In lower case.
    terminal: Vec<String>,
    /// A boolean or a number is a status only where terminal ones are listed: elsewhere it may be anything.
    has_booleans: bool,
    has_numbers: bool,
}

impl Status {
    pub(super) fn new(place: &str, terminal: Vec<String>) -> Self {
        let has_booleans = terminal.iter().any(|word| matches!(word.as_str(), "true" | "false"));
        let has_numbers = terminal.iter().any(|word| is_whole(word));
        Self { pointer: Pointer::new(place), terminal, has_booleans, has_numbers }
    }

    /// Whether answers may lack the status until the end.
    pub(super) fn may_be_absent(&self) -> bool {
        self.has_booleans
    }

    pub(super) fn first_token(&self) -> &str {
        self.pointer.first_token()
    }

    /// The status as a word. `first` is the member named by the pointer's first token, in an object.
    pub(super) fn word(&self, document: &RawValue, first: Option<&RawValue>) -> Option<String> {
        let text = self.pointer.find(document, first)?.get();
        match text.as_bytes().first()? {
            b'"' => serde_json::from_str(text).ok().filter(|word: &String| !word.trim().is_empty()),
            b't' | b'f' if self.has_booleans => Some(text.to_owned()),
            _ if self.has_numbers && is_whole(text) => Some(text.to_owned()),
            _ => None,
        }
    }

    pub(super) fn is_terminal(&self, word: &str) -> bool {
        let is_listed = |word: &str| self.terminal.iter().any(|listed| listed == word);
        is_listed(word) || is_listed(&word.to_lowercase())
    }
}

/// Whether a text is a whole number, as JSON writes it.
fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
