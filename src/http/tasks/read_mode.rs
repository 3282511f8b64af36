//! Owns the choice of a request's read mode: plain, long-poll or stream.

use http::{HeaderMap, Method, header};
use tokio::time::Duration;
use url::form_urlencoded;

use crate::http::head::Head;
use crate::http::headers::PREFER;
use crate::http::list_header;
use crate::http::request_log::RequestKind;
use crate::http::respond::error::Error;

/// The mode in which a client reads a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadMode {
    /// One answer, at once.
    Plain,
    /// One answer, when the task has changed or the time is up (long-poll).
    Wait {
        /// The longest wait.
        time: Duration,
        /// Whether `Prefer` asked for the wait: the answer then has `Preference-Applied` (RFC 7240, 3).
        preferred: bool,
    },
    /// A stream of server-sent events.
    Stream,
}

impl From<ReadMode> for RequestKind {
    fn from(mode: ReadMode) -> Self {
        match mode {
            ReadMode::Plain => Self::Task,
            ReadMode::Wait { .. } => Self::Wait,
            ReadMode::Stream => Self::Stream,
        }
    }
}

/// Reads a request's mode. A wait is capped at `max_wait`.
pub(super) fn of(request: &Head, max_wait: Duration) -> Result<ReadMode, Error> {
    if *request.method() == Method::GET && accepts_events(request.headers()) {
        return Ok(ReadMode::Stream);
    }
    let asked = query_wait(request.uri().query().unwrap_or_default())?;
    let (seconds, preferred) = match asked {
        Some(seconds) => (seconds, false),
        None => (preferred_wait(request.headers()).unwrap_or(0), true),
    };
    let time = Duration::from_secs(seconds).min(max_wait);
    Ok(if time.is_zero() { ReadMode::Plain } else { ReadMode::Wait { time, preferred } })
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT).iter();
    fields.flat_map(|field| list_header::elements(field.as_bytes())).any(|range| {
        let mut parts = list_header::parameters(range);
        let names_it = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"));
        names_it && !parts.any(is_zero_weight)
    })
}

/// A weight of zero means "not this" (RFC 9110, 12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', b'0', decimals @ ..] = parameter else { return false };
    matches!(decimals, b"" | b"." | b".0" | b".00" | b".000")
}

fn query_wait(query: &str) -> Result<Option<u64>, Error> {
    let wrong = Error::InvalidParameter(
        "wait is a whole number of seconds, such as ?wait=30. Leave it out for an answer at once.",
    );
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "wait") {
        None => Ok(None),
        Some((_, value)) => whole_seconds(&value).map(Some).ok_or(wrong),
    }
}

/// `Prefer: wait=N` (RFC 7240, 4.3). Unreadable preferences are ignored, as the RFC asks; the first wait
/// counts.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let preferences =
        headers.get_all(PREFER).iter().flat_map(|field| list_header::elements(field.as_bytes()));
    let mut waits = preferences.filter_map(|preference| {
        let mut sides = list_header::parameters(preference).next()?.splitn(2, |byte| *byte == b'=');
        let is_wait = sides.next()?.trim_ascii().eq_ignore_ascii_case(b"wait");
        is_wait.then(|| sides.next().unwrap_or_default().trim_ascii())
    });
    let seconds = list_header::word(waits.next()?)?;
    whole_seconds(std::str::from_utf8(&seconds).ok()?)
}

fn whole_seconds(text: &str) -> Option<u64> {
    // A number too large for u64 means "very long".
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const MAX: Duration = Duration::from_secs(50);

    fn mode(target: &str, headers: &[(&str, &str)]) -> Result<ReadMode, Error> {
        let mut request = http::Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        of(&request.body(()).unwrap(), MAX)
    }

    fn wait(seconds: u64, preferred: bool) -> Result<ReadMode, Error> {
        Ok(ReadMode::Wait { time: Duration::from_secs(seconds), preferred })
    }

    #[test]
    fn the_query_says_how_long() {
        assert_eq!(mode("/t", &[]), Ok(ReadMode::Plain));
        assert_eq!(mode("/t?wait=30", &[]), wait(30, false));
        assert_eq!(mode("/t?x=1&wait=30&wait=x", &[]), wait(30, false));
        assert_eq!(mode("/t?wait=0", &[("prefer", "wait=9")]), Ok(ReadMode::Plain), "the query wins");
        assert_eq!(mode("/t?wait=51", &[]), wait(50, false));
        assert_eq!(mode("/t?wait=99999999999999999999999", &[]), wait(50, false));
        for bad in ["", "-1", "1.5", "x", "+3", "1s", "%31x", "½"] {
            assert!(mode(&format!("/t?wait={}", bad.replace('½', "%C2%BD")), &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefer_is_read_where_it_can_be_and_ignored_otherwise() {
        for value in [
            "wait=10",
            "WAIT = 10",
            "respond-async, wait=10",
            "wait=\"10\"",
            "wait=10; x=y, wait=3",
            "a=\"b\", wait=10",
            "wait=\"1\\0\"",
            "a=\"b, wait=3\", wait=10",
            "a=\"\\\", wait=3\"; b=\";, wait=3\", wait=10; c",
            "a=\"é\", wait=10",
        ] {
            assert_eq!(mode("/t", &[("prefer", value)]), wait(10, true), "{value}");
        }
        assert_eq!(mode("/t", &[("prefer", "respond-async"), ("prefer", "wait=10")]), wait(10, true));
        let broken =
            ["wait", "wait=", "wait=x", "wait=-1", "await=10", "wait=0", "", "wait, wait=3", "\"wait\"=3"];
        let quotes = [
            "wait=3\"",
            "wait=\"3",
            "wait=\"3\"3",
            "a=\"b, wait=3",
            "a=\"b, wait=3\"",
            "a=\"\\\", wait=3",
            "a; b=\", wait=3\"",
        ];
        for value in broken.into_iter().chain(quotes) {
            assert_eq!(mode("/t", &[("prefer", value)]), Ok(ReadMode::Plain), "{value}");
        }
    }

    #[test]
    fn accept_asks_for_a_stream() {
        for value in [
            "text/event-stream",
            "TEXT/Event-Stream; q=0.9",
            "application/json, text/event-stream",
            "a/b;x=\"c, d;\\\"\", text/event-stream;q=0.001",
            "text/event-stream;x=\";q=0\"",
        ] {
            assert_eq!(mode("/t?wait=5", &[("accept", value)]), Ok(ReadMode::Stream), "{value}");
        }
        for value in [
            "*/*",
            "text/*",
            "application/json",
            "text/event-streams",
            "text/event-stream;q=0",
            "text/event-stream ; Q=0.",
            "a/b;x=\"c, text/event-stream\"",
            "a/b;x=\"\\\", text/event-stream, \"",
            "a/b;x=\", text/event-stream",
        ] {
            assert_eq!(mode("/t", &[("accept", value)]), Ok(ReadMode::Plain), "{value}");
        }
    }
}
