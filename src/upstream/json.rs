//! Owns the reading of a JSON document in place: members, items, and the steps of a pointer.
//!
//! Nothing is rebuilt, so numbers of any size, lone surrogates and unusual spacing do no harm.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One step of a JSON pointer (RFC 6901, section 4).
fn step<'d>(place: &'d RawValue, token: &str) -> Option<&'d RawValue> {
    if is_array(place) {
        return item(place, token);
    }
    let [found] = members(place, [token]);
    found
}

/// Whether a value is an array.
fn is_array(place: &RawValue) -> bool {
    place.get().starts_with('[')
}

/// An item of an array, by a pointer's token.
fn item<'d>(array: &'d RawValue, token: &str) -> Option<&'d RawValue> {
    let is_index = token == "0" || !token.starts_with('0');
    is_index.then(|| token.parse::<usize>().ok())?.and_then(|index| items(array).get(index).copied())
}

/// The items of an array; none of a value that is no array.
pub(super) fn items(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).unwrap_or_default()
}

/// All members of an object, their names as bytes; none of a value that is no object.
pub(super) fn all_members(object: &RawValue) -> Vec<(Vec<u8>, &RawValue)> {
    serde_json::Deserializer::from_str(object.get()).deserialize_map(AllMembers).unwrap_or_default()
}

/// The members of these names, found in one pass over an object. Of a repeated name the last member counts,
/// as in most parsers.
pub(super) fn members<'d, const N: usize>(
    object: &'d RawValue,
    names: [&str; N],
) -> [Option<&'d RawValue>; N] {
    serde_json::Deserializer::from_str(object.get()).deserialize_map(Members(names)).unwrap_or([None; N])
}

struct AllMembers;

impl<'de> Visitor<'de> for AllMembers {
    type Value = Vec<(Vec<u8>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = members.next_key_seed(Name(<[u8]>::to_vec))? {
            all.push((name, members.next_value()?));
        }
        Ok(all)
    }
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        let is_wanted = |bytes: &[u8]| self.0.map(|name| bytes == name.as_bytes());
        while let Some(wanted) = members.next_key_seed(Name(is_wanted))? {
            if wanted.contains(&true) {
                let value = members.next_value()?;
                for (found, _) in found.iter_mut().zip(wanted).filter(|(_, is_it)| *is_it) {
                    *found = Some(value);
                }
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Reads a name of the object, as bytes: a name that is no text, such as half an emoji, must not hide the others.
struct Name<F>(F);

impl<'de, T, F: Fn(&[u8]) -> T> DeserializeSeed<'de> for Name<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<T, F: Fn(&[u8]) -> T> Visitor<'_> for Name<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok((self.0)(bytes))
    }
}

/// A JSON pointer (RFC 6901, section 4).
#[derive(Debug)]
pub(super) struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    pub(super) fn new(text: &str) -> Self {
        let tokens = text.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"));
        Self { tokens: tokens.collect() }
    }

    /// The name of the member in which the place lies, if the document is an object.
    pub(super) fn first_token(&self) -> &str {
        self.tokens.first().map_or("", String::as_str)
    }

    /// The value at the place. `first` is the member named by the first token, in an object.
    pub(super) fn find<'d>(
        &self,
        document: &'d RawValue,
        first: Option<&'d RawValue>,
    ) -> Option<&'d RawValue> {
        let mut tokens = self.tokens.iter();
        let start = match tokens.next() {
            None => document,
            Some(token) if is_array(document) => item(document, token)?,
            Some(_) => first?,
        };
        tokens.try_fold(start, |place, token| step(place, token))
    }
}
