//! Owns the faults of settings: the place of each, the mistake, and the text to write instead.
//!
//! No fault shows a secret: words that look like a key are masked when the fault is made, and
//! [`Faults::hide`] masks the API key itself once it is known.

use std::fmt;

/// One mistake in the settings. Its `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    place: String,
    message: String,
}

impl Fault {
    pub(super) fn new(place: impl AsRef<str>, message: impl AsRef<str>) -> Self {
        Self { place: one_line(&mask(place.as_ref())), message: one_line(&mask(message.as_ref())) }
    }

    /// The place of the mistake: a setting, an environment variable, or a line of the file.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The mistake, and the text to write instead.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All faults of the settings, at least one. Their `Display` is one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn one(fault: Fault) -> Self {
        Self(vec![fault])
    }

    /// `Ok` if there are none.
    pub(super) fn all(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }

    /// Masks this secret, which need not look like a key.
    pub(super) fn hide(mut self, secret: &str) -> Self {
        if secret.len() < SHORTEST_SECRET {
            return self;
        }
        // Messages quote values with or without escapes, so the secret may occur in either form.
        let (plain, escaped) = (one_line(secret), secret.escape_debug().to_string());
        for fault in &mut self.0 {
            for text in [&mut fault.place, &mut fault.message] {
                *text = text.replace(&plain, "***").replace(&escaped, "***");
            }
        }
        self
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// In bytes. A shorter text is no real key, and occurs inside plain words.
pub(super) const SHORTEST_SECRET: usize = 6;

/// The prefix of LemonData's API keys.
const KEY_PREFIX: &str = "sk-";

/// Whether a word of the text begins with the prefix of API keys.
pub(super) fn looks_like_key(text: &str) -> bool {
    key_start(text).is_some()
}

fn key_start(text: &str) -> Option<usize> {
    text.match_indices(KEY_PREFIX)
        .map(|(at, _)| at)
        // `task-1` and `disk-a` hold the prefix too, but inside a word.
        .find(|&at| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
}

fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = key_start(rest) {
        masked.push_str(&rest[..at]);
        masked.push_str("***");
        let key = &rest[at..];
        let end = key.find(|c: char| c.is_whitespace() || "\"'`,;)".contains(c)).unwrap_or(key.len());
        rest = &key[end..];
    }
    masked + rest
}

/// Escapes control characters, which TOML allows anywhere: they could end the line or command a terminal.
fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, char| {
        if char.is_control() {
            line.extend(char.escape_debug());
        } else {
            line.push(char);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_looks_like_a_key_is_masked() {
        let fault = Fault::new("server.sk-live-1", "\"Bearer sk-live-2\" and sk-live-3, not task-4");
        assert_eq!(fault.to_string(), "server.***: \"Bearer ***\" and ***, not task-4");
    }

    #[test]
    fn a_known_key_is_masked_in_both_its_spellings() {
        let faults = Faults::one(Fault::new("a", format!("{:?} or a\"bcdef", "a\"bcdef"))).hide("a\"bcdef");
        assert_eq!(faults.to_string(), "a: \"***\" or ***");
        let faults = Faults::one(Fault::new("a", "a short one")).hide("a");
        assert_eq!(faults.to_string(), "a: a short one");
    }
    #[test]
    fn a_fault_is_one_line_whatever_it_quotes() {
        let fault = Fault::new("a\u{1b}[31m", "`b\r\nserver.listen: fine\u{7f}` is wrong");
        assert_eq!(fault.to_string(), r"a\u{1b}[31m: `b\r\nserver.listen: fine\u{7f}` is wrong");
        let faults = Faults::one(Fault::new("a", "x\"yz\nabc")).hide("x\"yz\nabc");
        assert_eq!(faults.to_string(), "a: ***");
    }
}
