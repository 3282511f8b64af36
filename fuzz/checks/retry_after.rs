//! Checks `Retry-After` of a 429: every form is read, and none closes the gate for longer than the cap.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use taskgate::core::budget::{Budget, Position, Rate};
use taskgate::core::failure::Failure;
use taskgate::core::task::{Route, Routes};
use taskgate::upstream::classify;
use tokio::time::Instant;

/// The longest time for which the upstream can close the gate.
const CAP: Duration = Duration::from_secs(300);
/// Unix seconds of the wall clock: an unset one, a day of 2026, and the last second of the year 9999.
const CLOCKS: [u64; 3] = [0, 1_784_000_000, 253_402_300_799];

/// `data` is the value of the header.
pub fn check(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    for clock in CLOCKS.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)) {
        let failure = classify::by_status(StatusCode::TOO_MANY_REQUESTS, &headers, clock);
        let Some(Failure::RateLimited { retry_after }) = failure else {
            panic!("a 429 is judged as {failure:?}");
        };
        assert_ne!(retry_after, Some(Duration::ZERO), "no time is none named");
        match number(data) {
            Some(number) => assert_eq!(retry_after, seconds(number), "{number}"),
            None => {
                if let Some(wait) = retry_after {
                    // The header is a date: the date of `clock + wait` is the same second.
                    let date = httpdate::fmt_http_date(clock + wait);
                    let rewritten = HeaderMap::from_iter([(RETRY_AFTER, date.parse().unwrap())]);
                    let again = classify::by_status(StatusCode::TOO_MANY_REQUESTS, &rewritten, clock);
                    assert_eq!(again, failure, "{date}");
                }
            }
        }
        gate_closes(retry_after);
    }
}

/// The number in the header, if it is one.
fn number(data: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(data).ok()?.trim_matches([' ', '\t']);
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| text.parse().ok())?
}

/// This number of seconds, rounded up; beyond `u32` it is `u32::MAX` seconds, a very long wait.
fn seconds(number: f64) -> Option<Duration> {
    let whole = number.ceil().min(f64::from(u32::MAX));
    (whole > 0.0).then(|| Duration::from_secs_f64(whole))
}

fn gate_closes(retry_after: Option<Duration>) {
    let now = Instant::now();
    let budget = Budget::new(Rate { per_minute: 60.0, burst: 1 }, 1, now);
    let task = Routes::new(vec![Route::parse("/{id}").unwrap()]).bare("a").unwrap();
    let permit = budget.acquire(now).unwrap();
    budget.settle(now, permit.pass(), &task, Some(Failure::RateLimited { retry_after }));
    let Position::Closed { until, .. } = budget.gate() else { panic!("the gate is open after a 429") };
    let hold = until - now;
    match retry_after {
        Some(wait) => assert_eq!(hold, wait.min(CAP)),
        None => assert_eq!(hold, Duration::from_secs(1)),
    }
}
