//! Owns the wire form of an estimate: when a task is likely to end.

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;

use crate::core::pacing::Told;

/// The data of an `estimate` event.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    remaining_s: u64,
    low_s: u64,
    high_s: u64,
}

/// The value of `Taskgate-Estimate`.
pub(in crate::http) fn header(told: Told) -> Option<HeaderValue> {
    let Told { remaining, low, high } = told;
    HeaderValue::try_from(format!("remaining={remaining}; low={low}; high={high}")).ok()
}

/// The data of an event on the stream of one task; on that of a list, `named` are the task's id and path.
pub(in crate::http) fn data(named: Option<(&str, &str)>, told: Told) -> Bytes {
    let Told { remaining: remaining_s, low: low_s, high: high_s } = told;
    let (id, path) = named.unzip();
    // A struct of strings and numbers always serializes.
    serde_json::to_vec(&Data { id, path, remaining_s, low_s, high_s }).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let told = Told { remaining: 40, low: 31, high: 55 };
        assert_eq!(header(told).unwrap(), "remaining=40; low=31; high=55");
        assert_eq!(data(None, told), r#"{"remaining_s":40,"low_s":31,"high_s":55}"#);
        let named = data(Some(("a", "/v1/tasks/a")), told);
        assert_eq!(named, r#"{"id":"a","path":"/v1/tasks/a","remaining_s":40,"low_s":31,"high_s":55}"#);
    }
}
