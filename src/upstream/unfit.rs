//! Owns why an answer is not passed on as a content, in words that name the cure, and how often operators are told.

use std::collections::HashMap;
use std::fmt;
use std::mem::{Discriminant, discriminant};

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::core::cause;
use crate::core::task::TaskKey;

/// The time between two lines in the log about the same reason on the same route: a player that tries again and again
/// would fill it.
const REMINDER: Duration = Duration::from_secs(60);

/// Why an answer is not passed on. The texts of some come from the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Encoded, although `identity` was asked for.
    Encoded,
    /// Of a type that is not allowed; `None` where it may not be shown, or is absent.
    Type(Option<String>),
    /// Longer than `content.max_length`.
    TooLong,
    /// Another part than was asked for.
    OtherPart,
    /// A redirect on the same host, where it would need the key; to this path, where it may be shown.
    RedirectHere(Option<String>),
    /// A redirect without an address, or to one that may not be handed out.
    RedirectNowhere,
    /// A 4xx, or a 2xx that is no content, without JSON.
    NoWords,
}

impl Unfit {
    /// The same without the upstream's own words, where they are secret.
    pub(super) fn without(self, is_secret: impl Fn(&str) -> bool) -> Self {
        match self {
            Self::Type(text) => Self::Type(text.filter(|text| !is_secret(text))),
            Self::RedirectHere(path) => Self::RedirectHere(path.filter(|path| !is_secret(path))),
            other => other,
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoded => f.write_str("it is encoded, although that was not asked for"),
            Self::Type(None) => f.write_str("it has no content type that content.types lists"),
            Self::Type(Some(text)) => {
                write!(f, "content.types does not list its type, {}", text.escape_debug())
            }
            Self::TooLong => f.write_str("it is longer than content.max_length"),
            Self::OtherPart => f.write_str("it is another part than was asked for"),
            Self::RedirectHere(None) => {
                f.write_str("it is a redirect on the same host, which is never followed")
            }
            Self::RedirectHere(Some(path)) => write!(
                f,
                "it is a redirect on the same host, which is never followed; write its path into upstream.routes: {}",
                path.escape_debug()
            ),
            Self::RedirectNowhere => f.write_str("it is a redirect to no address that may be handed out"),
            Self::NoWords => f.write_str(
                "it is neither a content nor JSON; check the path with content = true in upstream.routes",
            ),
        }
    }
}

/// When operators were told of each reason, by route.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<(usize, Discriminant<Unfit>), Instant>>);

impl Told {
    /// Tells operators, unless they were told of the same lately.
    pub(super) fn tell(&self, key: &TaskKey, status: u16, reason: &Unfit) {
        let now = Instant::now();
        let is_news = {
            let mut told = self.0.lock();
            let last = told.insert((key.route(), discriminant(reason)), now);
            let is_news = last.is_none_or(|last| now.saturating_duration_since(last) >= REMINDER);
            if let Some(last) = last.filter(|_| !is_news) {
                told.insert((key.route(), discriminant(reason)), last);
            }
            is_news
        };
        if is_news {
            cause::log(|| {
                tracing::warn!(task = %key, status, %reason, "an answer of the upstream is not passed on as a content");
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_upstream_says_is_shown_unless_it_is_secret() {
        let shown = |reason: Unfit| reason.without(|text| text.contains("sk-")).to_string();
        assert!(shown(Unfit::Type(Some("text/html".into()))).ends_with("its type, text/html"));
        assert!(!shown(Unfit::Type(Some("sk-1".into()))).contains("sk-1"));
        assert!(shown(Unfit::RedirectHere(Some("/a".into()))).ends_with("upstream.routes: /a"));
        assert!(!shown(Unfit::RedirectHere(Some("/sk-1".into()))).contains("sk-1"));
    }
}
