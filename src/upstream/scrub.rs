//! Owns the removal of the API key from upstream answers before they are stored: an upstream may echo it.

use bytes::Bytes;
use http::HeaderValue;
use memchr::memmem::Finder;

use crate::config::ApiKey;

const COVER: &[u8] = b"***";
/// Eight given bytes stand in a film of a gigabyte once in ten thousand million times.
const UNLIKELY: usize = 8;

/// The content types of most answers. As static values they take no memory in a stored state.
const USUAL_TYPES: [&str; 2] = ["application/json", "application/json; charset=utf-8"];

/// The API keys to remove, in each spelling that they may have inside JSON.
pub(super) struct Scrub {
    spellings: Vec<Finder<'static>>,
    /// The keys in lower case.
    folded: Vec<Finder<'static>>,
}

impl Scrub {
    pub(super) fn new(keys: &[ApiKey]) -> Self {
        let mut spellings: Vec<Vec<u8>> = Vec::new();
        for key in keys {
            let plain = key.expose().as_bytes().to_vec();
            // `/` is the one character of a key that some JSON writers escape without need.
            let escaped = key.expose().replace('/', "\\/").into_bytes();
            for spelling in [plain, escaped] {
                if !spelling.is_empty() && !spellings.contains(&spelling) {
                    spellings.push(spelling);
                }
            }
        }
        let finders = |texts: &[Vec<u8>]| texts.iter().map(|text| Finder::new(text).into_owned()).collect();
        let folded: Vec<_> = spellings.iter().map(|spelling| spelling.to_ascii_lowercase()).collect();
        Self { spellings: finders(&spellings), folded: finders(&folded) }
    }

    /// The body, with each occurrence of a key replaced by `***`. A body without one is not copied.
    pub(super) fn body(&self, body: Bytes) -> Bytes {
        self.spellings.iter().fold(body, |body, spelling| match cover(&body, spelling) {
            Some(covered) => covered.into(),
            None => body,
        })
    }

    /// The bytes with each key replaced by as many stars; `None` if there is none. Keys that may stand in a film by chance
    /// are not sought.
    pub(super) fn covered_in_place(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut covered: Option<Vec<u8>> = None;
        for key in self.unlikely() {
            let mut from = 0;
            while let Some(at) = key.find(&covered.as_deref().unwrap_or(bytes)[from..]) {
                let found = from + at..from + at + key.needle().len();
                from = found.end;
                covered.get_or_insert_with(|| bytes.to_vec())[found].fill(b'*');
            }
        }
        covered
    }

    /// The number of bytes at the end with which a key may begin.
    pub(super) fn begins_in(&self, bytes: &[u8]) -> usize {
        let longest = |key: &Finder<'_>| {
            let most = (key.needle().len() - 1).min(bytes.len());
            (1..=most).rev().find(|length| bytes.ends_with(&key.needle()[..*length])).unwrap_or(0)
        };
        self.unlikely().map(longest).max().unwrap_or(0)
    }

    fn unlikely(&self) -> impl Iterator<Item = &Finder<'static>> {
        self.spellings.iter().filter(|spelling| spelling.needle().len() >= UNLIKELY)
    }

    /// Whether a text holds a key, in any case (hosts have none), percent-encoded or as it is.
    pub(super) fn is_in(&self, text: &(impl AsRef<[u8]> + ?Sized)) -> bool {
        let mut text = text.as_ref().to_vec();
        // Encoded up to three times over.
        for _ in 0..=3 {
            let folded = text.to_ascii_lowercase();
            if self.folded.iter().any(|key| key.find(&folded).is_some()) {
                return true;
            }
            text = percent_decoded(&text);
        }
        false
    }

    /// The content type, if it is one of JSON. If there is none, or it is another or holds a key, it becomes that of JSON,
    /// which the body is.
    ///
    /// The value is copied: otherwise it would keep the whole buffer of the answer's head, 8 KiB and more,
    /// for as long as the state is stored.
    pub(super) fn content_type(&self, value: Option<&HeaderValue>) -> HeaderValue {
        let json = HeaderValue::from_static(USUAL_TYPES[0]);
        let Some(value) = value else { return json };
        if let Some(usual) = USUAL_TYPES.into_iter().find(|usual| value == usual) {
            return HeaderValue::from_static(usual);
        }
        let holds_key = self.spellings.iter().any(|key| key.find(value.as_bytes()).is_some());
        if holds_key || !is_json_type(value) {
            json
        } else {
            HeaderValue::from_bytes(value.as_bytes()).unwrap_or(json)
        }
    }
}

/// `%41` is `A`; what is no such encoding stays.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let byte = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

/// Whether a content type is one of JSON (RFC 8259, 11; RFC 6839, 3.1).
fn is_json_type(value: &HeaderValue) -> bool {
    let essence =
        value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(essence.as_str(), "application/json" | "text/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn cover(text: &[u8], word: &Finder<'_>) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut covered = Vec::new();
    while let Some(at) = word.find(rest) {
        covered.extend_from_slice(&rest[..at]);
        covered.extend_from_slice(COVER);
        rest = &rest[at + word.needle().len()..];
    }
    (rest.len() < text.len()).then(|| {
        covered.extend_from_slice(rest);
        covered
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_covered_wherever_it_stands() {
        let scrub = Scrub::new(&[ApiKey::new("sk-a/b")]);
        let clean = |text: &'static str| scrub.body(Bytes::from_static(text.as_bytes()));
        assert_eq!(clean(r#"{"k":"sk-a/b","l":"xsk-a/bsk-a/b"}"#), r#"{"k":"***","l":"x******"}"#);
        assert_eq!(clean(r#"{"k":"sk-a\/b"}"#), r#"{"k":"***"}"#);
        assert_eq!(clean(r#"{"k":"sk-a"}"#), r#"{"k":"sk-a"}"#);
        assert_eq!(clean(""), "");
    }

    #[test]
    fn a_key_is_found_in_disguise() {
        let scrub = Scrub::new(&[ApiKey::new("sk-Abc/1")]);
        for text in ["x sk-Abc/1 y", "https://SK-ABC/1", "/sk%2DAbc%2f1/", "/sk%252DAbc/1", "/%73%6b-abc/1"] {
            assert!(scrub.is_in(text), "{text}");
        }
        for text in ["", "sk-Ab", "%", "%zz", "sk-Abc%2", "/sk-Abc/2"] {
            assert!(!scrub.is_in(text), "{text}");
        }
    }

    #[test]
    fn a_content_type_does_not_keep_the_buffer_it_was_read_into() {
        for text in ["application/json", "application/json; charset=utf-8", "application/problem+json"] {
            let buffer = Bytes::from(format!("HTTP/1.1 200 OK\r\nContent-Type: {text}\r\n\r\n"));
            let at = memchr::memmem::find(&buffer, text.as_bytes()).unwrap();
            let value = HeaderValue::from_maybe_shared(buffer.slice(at..at + text.len())).unwrap();
            let kept = Scrub::new(&[ApiKey::new("sk-1")]).content_type(Some(&value));
            assert_eq!(kept, text);
            drop(value);
            assert!(buffer.is_unique(), "{text}");
        }
    }

    #[test]
    fn an_untouched_body_is_the_same_memory() {
        let body = Bytes::from(vec![b'x'; 100]);
        assert_eq!(Scrub::new(&[ApiKey::new("sk-1")]).body(body.clone()).as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_content_type_with_the_key_is_replaced() {
        let scrub = Scrub::new(&[ApiKey::new("sk-1")]);
        let value = |text| Some(HeaderValue::from_static(text));
        assert_eq!(scrub.content_type(value("text/plain; k=sk-1").as_ref()), "application/json");
        assert_eq!(
            scrub.content_type(value("text/json; charset=utf-8").as_ref()),
            "text/json; charset=utf-8"
        );
        for other in ["text/html; charset=utf-8", "text/plain", "image/x+json", "application/jsonp", ""] {
            assert_eq!(
                scrub.content_type(Some(&HeaderValue::from_static(other))),
                "application/json",
                "{other}"
            );
        }
        assert_eq!(
            scrub.content_type(value("Application/Problem+JSON").as_ref()),
            "Application/Problem+JSON"
        );
        assert_eq!(scrub.content_type(None), "application/json");
    }
}
