//! Owns the parts of a client's request for a content that go upstream: its range and its conditions.
//!
//! Each field is parsed and written anew, so that nothing else a client sends can travel in it. A field that is not
//! valid is ignored, as RFC 9110 asks (13.1 and 14.2).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The most entity tags of a condition.
const MOST_TAGS: usize = 8;
/// The longest entity tag, in bytes.
const LONGEST_TAG: usize = 256;

/// A request for a content. Whoever holds one may send it upstream as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRequest {
    is_head: bool,
    range: Option<ByteRange>,
    fields: HeaderMap,
}

/// One range of bytes (RFC 9110, 14.1.2). Several would make an answer of several parts, which no player asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last, both included.
    Closed(u64, u64),
    /// From the first on.
    From(u64),
    /// So many at the end.
    Last(u64),
}

impl ContentRequest {
    /// The request in these fields of a client's.
    pub fn of(is_head: bool, client: &HeaderMap) -> Self {
        let mut fields = HeaderMap::new();
        let mut take = |name: HeaderName, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                fields.insert(name, value);
            }
        };
        let text = |name: HeaderName| only(client, &name).and_then(|value| value.to_str().ok());
        take(header::IF_MATCH, text(header::IF_MATCH).and_then(tags));
        take(header::IF_NONE_MATCH, text(header::IF_NONE_MATCH).and_then(tags));
        take(header::IF_MODIFIED_SINCE, text(header::IF_MODIFIED_SINCE).and_then(date));
        take(header::IF_UNMODIFIED_SINCE, text(header::IF_UNMODIFIED_SINCE).and_then(date));
        // A range of a HEAD means nothing (RFC 9110, 14.2).
        let mut range = text(header::RANGE).and_then(ByteRange::of).filter(|_| !is_head);
        if range.is_some() && client.contains_key(header::IF_RANGE) {
            let validator = text(header::IF_RANGE).and_then(|text| strong_tag(text).or_else(|| date(text)));
            // Without a validator that can be compared the range may be one of other bytes.
            range = range.filter(|_| validator.is_some());
            take(header::IF_RANGE, validator);
        }
        take(header::RANGE, range.map(|range| range.to_string()));
        Self { is_head, range, fields }
    }

    /// Whether the client wants the fields of the answer alone.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// The fields to send.
    pub fn fields(&self) -> &HeaderMap {
        &self.fields
    }

    /// The part that is asked for: only then may the answer be one.
    pub fn range(&self) -> Option<ByteRange> {
        self.range
    }

    /// Whether the answer may be that nothing has changed.
    pub fn is_conditional(&self) -> bool {
        self.fields.contains_key(header::IF_NONE_MATCH) || self.fields.contains_key(header::IF_MODIFIED_SINCE)
    }

    /// Whether the answer may be that something has changed.
    pub fn has_precondition(&self) -> bool {
        self.fields.contains_key(header::IF_MATCH) || self.fields.contains_key(header::IF_UNMODIFIED_SINCE)
    }
}

impl ByteRange {
    fn of(text: &str) -> Option<Self> {
        let (unit, set) = text.split_once('=')?;
        let (first, last) = set.trim().split_once('-')?;
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse::<u64>().ok()).flatten()
        };
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Closed(first, last))
            }
        }
    }

    /// Whether an answer with these bytes may be the one that was asked for.
    pub fn may_be(self, first: u64, last: u64) -> bool {
        match self {
            Self::Closed(from, to) => first == from && last <= to,
            Self::From(from) => first == from,
            Self::Last(count) => last - first < count,
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// The value of a field that stands there once.
fn only<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f HeaderValue> {
    let mut values = fields.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// A date in any of the three forms (RFC 9110, 5.6.7), in the preferred one.
fn date(text: &str) -> Option<String> {
    httpdate::parse_http_date(text.trim()).ok().map(httpdate::fmt_http_date)
}

/// An entity tag that may be compared strongly, as `If-Range` needs (RFC 9110, 13.1.5).
fn strong_tag(text: &str) -> Option<String> {
    let (tag, rest) = tag(text.trim())?;
    (rest.is_empty() && !tag.starts_with('W')).then(|| tag.to_owned())
}

/// `*`, or a list of entity tags (RFC 9110, 13.1.2).
fn tags(text: &str) -> Option<String> {
    let mut rest = text.trim();
    if rest == "*" {
        return Some(rest.to_owned());
    }
    let mut tags = Vec::new();
    while !rest.is_empty() && tags.len() < MOST_TAGS {
        let (tag, after) = tag(rest)?;
        tags.push(tag);
        let after = after.trim_start();
        rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    }
    (!tags.is_empty()).then(|| tags.join(", "))
}

/// The entity tag at the beginning of a text (RFC 9110, 8.8.3), and what follows it.
fn tag(text: &str) -> Option<(&str, &str)> {
    let quoted = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?;
    let length = quoted.find('"')?;
    let is_valid = quoted[..length].bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    let end = text.len() - quoted.len() + length + 1;
    (is_valid && end <= LONGEST_TAG).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(client: &[(HeaderName, &str)]) -> Vec<String> {
        let mut fields = HeaderMap::new();
        for (name, value) in client {
            fields.append(name, HeaderValue::try_from(*value).unwrap());
        }
        let request = ContentRequest::of(false, &fields);
        let line =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<_> = request.fields.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_range_is_written_anew_or_ignored() {
        for (given, written) in [
            ("bytes=0-", Some("bytes=0-")),
            ("bytes=0-499", Some("bytes=0-499")),
            ("Bytes=  007-9 ", Some("bytes=7-9")),
            ("bytes=-500", Some("bytes=-500")),
            ("bytes=9-7", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=0x1-2", None),
            ("bytes=1-99999999999999999999", None),
            ("items=0-1", None),
            ("secret", None),
        ] {
            let expected: Vec<_> = written.map(|range| format!("range: {range}")).into_iter().collect();
            assert_eq!(sent(&[(header::RANGE, given)]), expected, "{given}");
        }
        assert!(sent(&[(header::RANGE, "bytes=0-1"), (header::RANGE, "bytes=0-2")]).is_empty());
    }

    #[test]
    fn a_range_that_hangs_on_a_validator_goes_only_with_it() {
        let with = |validator: &str| sent(&[(header::RANGE, "bytes=5-"), (header::IF_RANGE, validator)]);
        assert_eq!(with("\"a,b\""), ["if-range: \"a,b\"", "range: bytes=5-"]);
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(with(date), [format!("if-range: {date}"), "range: bytes=5-".to_owned()]);
        for validator in ["W/\"a\"", "\"a\" x", "a", "", "\"a\", \"b\""] {
            assert!(with(validator).is_empty(), "{validator}");
        }
        assert!(sent(&[(header::IF_RANGE, "\"a\"")]).is_empty(), "without a range it means nothing");
    }

    #[test]
    fn a_part_may_be_shorter_than_the_range_and_no_other() {
        for (range, first, last, may_be) in [
            (ByteRange::Closed(5, 9), 5, 9, true),
            (ByteRange::Closed(5, 9), 5, 7, true),
            (ByteRange::Closed(5, 9), 5, 10, false),
            (ByteRange::Closed(5, 9), 4, 9, false),
            (ByteRange::From(5), 5, 99, true),
            (ByteRange::From(5), 0, 99, false),
            (ByteRange::Last(5), 95, 99, true),
            (ByteRange::Last(5), 94, 99, false),
        ] {
            assert_eq!(range.may_be(first, last), may_be, "{range} {first}-{last}");
        }
        let mut fields = HeaderMap::new();
        fields.insert(header::RANGE, HeaderValue::from_static("bytes=5-9"));
        assert!(ContentRequest::of(true, &fields).fields().is_empty());
    }

    #[test]
    fn conditions_are_tags_and_dates_alone() {
        let unless = |tags: &str| sent(&[(header::IF_NONE_MATCH, tags)]);
        assert_eq!(unless("\"a\",W/\"b,c\" ,  \"d\""), ["if-none-match: \"a\", W/\"b,c\", \"d\""]);
        assert_eq!(unless(" * "), ["if-none-match: *"]);
        for tags in ["a", "\"a", "\"a\" \"b\"", "\"a b\"", "", &format!("\"{}\"", "x".repeat(300))] {
            assert!(unless(tags).is_empty(), "{tags}");
        }
        let since = |date: &str| sent(&[(header::IF_MODIFIED_SINCE, date)]);
        assert_eq!(
            since("Sunday, 06-Nov-94 08:49:37 GMT"),
            ["if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"]
        );
        assert!(since("yesterday").is_empty());
        // A range with it would be one of other bytes, if it were dropped.
        let unless = sent(&[(header::IF_MATCH, "\"a\""), (header::RANGE, "bytes=5-")]);
        assert_eq!(unless, ["if-match: \"a\"", "range: bytes=5-"]);
        for name in [header::AUTHORIZATION, header::COOKIE, header::ACCEPT, header::HOST, header::TE] {
            assert!(sent(&[(name, "\"a\"")]).is_empty());
        }
    }
}
