//! Owns `If-None-Match`: the tags of the states that a client has already (RFC 9110, 13.1.2).

use http::{HeaderMap, HeaderValue, header};

use crate::http::list_header;

/// A copy of the field's values, so that the request can be dropped. Empty where the request has none.
pub(in crate::http) struct IfNoneMatch(Vec<Box<[u8]>>);

impl IfNoneMatch {
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get_all(header::IF_NONE_MATCH).iter().map(|value| value.as_bytes().into()).collect())
    }

    /// Whether the request has the field.
    pub(in crate::http) fn is_some(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether the field names this tag, by weak comparison (RFC 9110, 8.8.3.2).
    pub(in crate::http) fn names(&self, etag: &HeaderValue) -> bool {
        self.0
            .iter()
            .flat_map(|value| list_header::entity_tags(value))
            .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_compares_weakly_and_takes_lists_and_stars() {
        let etag = HeaderValue::from_static("\"abc\"");
        let names = |values: &[&'static str]| {
            let headers = values.iter().map(|value| (header::IF_NONE_MATCH, HeaderValue::from_static(value)));
            IfNoneMatch::of(&headers.collect()).names(&etag)
        };
        for values in [
            &["\"abc\""][..],
            &["W/\"abc\""],
            &["*"],
            &["\"x\" , \"abc\""],
            &["\"x\"", "\"abc\""],
            &["\"x,y\",\"abc\""],
            &["\"x\\\", \"abc\""],
        ] {
            assert!(names(values), "{values:?}");
        }
        for values in
            [&[][..], &["abc"], &["\"ABC\""], &["\"abcd\""], &["w/\"abc\""], &[""], &["\"x, *, y\""]]
        {
            assert!(!names(values), "{values:?}");
        }
    }
}
