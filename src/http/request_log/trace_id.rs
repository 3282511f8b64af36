//! Owns the trace id of a request: that of the trace in the browser of which the request is a part. It only goes into the
//! access log's line, and never upstream.

use http::HeaderName;

use crate::http::head::Head;

/// W3C Trace Context, 3.2: version, trace id, parent id, flags.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Sentry's: trace id, span id, whether it is sampled.
const SENTRY_TRACE: HeaderName = HeaderName::from_static("sentry-trace");
/// In hexadecimal digits.
const LENGTH: usize = 32;

/// The trace id of a request, if it names a valid one.
pub(in crate::http) fn of(request: &Head) -> Option<Box<str>> {
    let part = |name: HeaderName, place: usize| {
        let text = request.headers().get(name)?.to_str().ok()?;
        text.split('-').nth(place).filter(|id| is_valid(id))
    };
    part(TRACEPARENT, 1).or_else(|| part(SENTRY_TRACE, 0)).map(Into::into)
}

/// Lower-case hexadecimal digits, not all of them zero.
fn is_valid(id: &str) -> bool {
    id.len() == LENGTH
        && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && id.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn read(name: &str, value: &str) -> Option<Box<str>> {
        of(&http::Request::builder().header(name, value).body(()).unwrap())
    }

    #[test]
    fn only_whole_ids_are_taken() {
        let traceparent = |value: &str| read("traceparent", value);
        assert_eq!(traceparent(&format!("00-{ID}-00f067aa0ba902b7-01")).as_deref(), Some(ID));
        assert_eq!(read("sentry-trace", &format!("{ID}-00f067aa0ba902b7-1")).as_deref(), Some(ID));
        for wrong in [
            "",
            ID,
            &format!("00-{ID}0-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", &ID[1..]),
            "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
        ] {
            assert_eq!(traceparent(wrong), None, "{wrong}");
        }
    }
}
