//! Owns the reading of the scripts' answers. An answer of another form is nonsense.

use redis::Value;

use crate::core::shared::News;

/// The items of an answer.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    pub(super) fn new(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => Some(Self(items.into_iter())),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next()? {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.into_bytes()),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        number(self.0.next()?)
    }

    pub(super) fn texts(&mut self) -> Option<Vec<String>> {
        let Value::Array(items) = self.0.next()? else { return None };
        let text = |item| match item {
            Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
            _ => None,
        };
        Some(items.into_iter().filter_map(text).collect())
    }
}

/// Scripts write numbers as texts, because Lua's are cut to integers on their way.
pub(super) fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::BulkString(bytes) => std::str::from_utf8(&bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// A task that has changed: a sequence number and a path.
pub(super) fn news(text: &str) -> Option<News> {
    let (sequence, path) = text.split_once(' ')?;
    Some(News { path: path.to_owned(), sequence: sequence.parse().ok()? })
}
