//! Owns the behaviour of the origin: its mood for all requests, and the meaning of an id's prefix.
//!
//! - `done-…` is finished: always the same 461 bytes, to be kept for an hour.
//! - `slow-MS-…` is finished too: all requests for it are answered MS milliseconds after the first one.
//! - `push-…` never ends, and changes when the benchmark says so (`changes.rs`).
//! - `live-…` never ends: its progress changes every 3 s, and each answer carries its own time.
//!
//! The origin's `Cache-Control` states for caches the facts that taskgate reads in the body. LemonData sends
//! none, so this favours the peers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::changes::Changes;

/// The value of `Authorization` that a request needs.
pub const KEY: &str = "Bearer sk-bench";
/// The length of a finished video's JSON at LemonData, in bytes.
pub const BODY: usize = 461;
/// Longer than any subject waits for the origin.
pub const HANG: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

/// The origin's behaviour towards all requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Willing,
    /// It answers every request with 429.
    Refusing,
    /// It delays every answer by [`HANG`].
    Hanging,
}

#[derive(Debug)]
pub struct Script {
    /// The tasks that change on command.
    pub changes: Changes,
    mood: Mutex<Mood>,
    minute: Mutex<Minute>,
    flights: Mutex<HashMap<String, Arc<Flight>>>,
    requests: AtomicU64,
    refused: AtomicU64,
    /// Requests without the key.
    strangers: AtomicU64,
}

/// The rate limit: a minute begins with its first request.
#[derive(Debug)]
struct Minute {
    /// Requests in a minute; `None` is no limit.
    limit: Option<u32>,
    opened: Option<Instant>,
    used: u32,
}

/// One answer for all requests for a `slow-…` task.
#[derive(Debug)]
struct Flight {
    due: Instant,
    /// The time of the first answer, in microseconds of the wall clock, which processes share.
    answered: OnceLock<u64>,
}

/// The origin's counts since the last [`Script::begin`].
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub requests: u64,
    pub refused: u64,
    pub strangers: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            changes: Changes::default(),
            mood: Mutex::new(Mood::Willing),
            minute: Mutex::new(Minute { limit: None, opened: None, used: 0 }),
            flights: Mutex::default(),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }
    }
}

impl Script {
    /// Sets the mood and the requests in a minute, and resets all counts.
    pub fn begin(&self, mood: Mood, limit: Option<u32>) {
        *lock(&self.mood) = mood;
        *lock(&self.minute) = Minute { limit, opened: None, used: 0 };
        lock(&self.flights).clear();
        for counter in [&self.requests, &self.refused, &self.strangers] {
            counter.store(0, Ordering::SeqCst);
        }
    }

    pub fn count(&self) -> Count {
        Count {
            requests: self.requests.load(Ordering::SeqCst),
            refused: self.refused.load(Ordering::SeqCst),
            strangers: self.strangers.load(Ordering::SeqCst),
        }
    }

    /// Waits until the answer is due, and returns its bytes.
    pub async fn answer(&self, id: &str, has_key: bool) -> String {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if !has_key {
            self.strangers.fetch_add(1, Ordering::SeqCst);
            return render("401 Unauthorized", "", r#"{"error":{"code":"invalid_api_key"}}"#);
        }
        let mood = *lock(&self.mood);
        match mood {
            Mood::Willing => {}
            Mood::Refusing => return self.refuse(10),
            Mood::Hanging => sleep(HANG).await,
        }
        let share = lock(&self.minute).take(Instant::now());
        if let Err(seconds) = share {
            return self.refuse(seconds);
        }
        if id.starts_with("push-") {
            let body = self.changes.state(id).await;
            return render("200 OK", "", &body);
        }
        if id.starts_with("live-") {
            let now = wall_micros();
            let progress = now / 3_000_000 % 90;
            return render("200 OK", "Cache-Control: max-age=2\r\n", &body(id, "processing", progress, now));
        }
        render("200 OK", "Cache-Control: max-age=3600\r\n", &self.finished(id).await)
    }

    /// Waits until the answer is due, and returns the JSON of a finished task.
    pub async fn finished(&self, id: &str) -> String {
        let Some(rest) = id.strip_prefix("slow-") else { return body(id, "completed", 100, 0) };
        let delay = rest.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
        let flight = self.flight(id, Duration::from_millis(delay));
        sleep_until(flight.due).await;
        body(id, "completed", 100, *flight.answered.get_or_init(wall_micros))
    }

    fn flight(&self, id: &str, delay: Duration) -> Arc<Flight> {
        let begun = || Arc::new(Flight { due: Instant::now() + delay, answered: OnceLock::new() });
        Arc::clone(lock(&self.flights).entry(id.to_owned()).or_insert_with(begun))
    }

    fn refuse(&self, seconds: u64) -> String {
        self.refused.fetch_add(1, Ordering::SeqCst);
        let body = format!(r#"{{"error":{{"code":"rate_limit_exceeded","retry_after":{seconds}}}}}"#);
        render("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), &body)
    }
}

impl Minute {
    /// Counts one request, or returns the seconds until the next minute.
    fn take(&mut self, now: Instant) -> Result<(), u64> {
        let Some(limit) = self.limit else { return Ok(()) };
        let opened = *self.opened.get_or_insert(now);
        if now.duration_since(opened) >= MINUTE {
            (self.opened, self.used) = (Some(now), 0);
        }
        if self.used < limit {
            self.used += 1;
            return Ok(());
        }
        Err((opened + MINUTE).saturating_duration_since(now).as_secs() + 1)
    }
}

/// The JSON of a task, 461 bytes.
pub fn body(id: &str, status: &str, progress: u64, at: u64) -> String {
    let start = format!(
        r#"{{"id":"{id}","task_id":"{id}","poll_url":"/v1/tasks/{id}","status":"{status}","progress":{progress},"at":{at},"created":1784000000,"model":"video-1","video_url":"https://cdn.example/{id}.mp4","prompt":""#
    );
    let rest = BODY.saturating_sub(start.len() + 2);
    let prompt: String = "a lemon tree in the morning, seen from below ".chars().cycle().take(rest).collect();
    format!("{start}{prompt}\"}}")
}

fn render(status: &str, headers: &str, body: &str) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let half = hasher.finish();
    format!(
        "HTTP/1.1 {status}\r\nDate: {}\r\nContent-Type: application/json; charset=utf-8\r\nETag: \"{half:016x}{:016x}\"\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        httpdate::fmt_http_date(wall_clock()),
        !half,
        body.len()
    )
}

#[expect(clippy::disallowed_methods, reason = "processes share no other clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Microseconds since 1970.
pub fn wall_micros() -> u64 {
    let since = wall_clock().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
