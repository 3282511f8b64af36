//! Owns the classification of an upstream answer: as a failure, or as a snapshot with its phase.
//!
//! A body is never rebuilt: it is checked for completeness and read in place, so that numbers of any size,
//! lone surrogates and unusual spacing pass through unchanged.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::hints::Places;
use super::json::members;
use super::status::Status;
use super::{expiry, retry_after};
use crate::config;
use crate::core::failure::Failure;
use crate::core::identity::ForeignIds;
use crate::core::ports::Fetched;
use crate::core::snapshot::{Hints, Phase, Snapshot, without_mark};
use crate::core::task::TaskKey;

/// The members that may name the task.
const IDS: [&str; 2] = ["id", "task_id"];
/// The longest status word in a snapshot, in characters.
const MAX_WORD: usize = 40;

/// The failure that the status code alone decides; the body of such an answer is not read. A date in
/// `Retry-After` is compared with `now`.
pub fn by_status(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Failure> {
    match status.as_u16() {
        401 => Some(Failure::KeyRejected),
        402 => Some(Failure::QuotaExhausted),
        429 => Some(Failure::RateLimited { retry_after: retry_after::of_refusal(headers, now) }),
        code @ (..200 | 300..400) => Some(Failure::InvalidResponse { status: code }),
        code @ 500.. => {
            let retry_after = retry_after::of_refusal(headers, now);
            Some(Failure::ServerError { status: code, retry_after })
        }
        200..300 | 400..500 => None,
    }
}

/// Why an answer is no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The body is not complete JSON.
    NotJson,
    /// A 2xx holds no status, and is an error or no object.
    NoState,
}

/// Whether a body is complete JSON.
pub(super) fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(without_mark(body)).is_ok()
}

/// Whether a body is one complete JSON object: then no part of it is missing.
pub(super) fn is_whole_object(body: &[u8]) -> bool {
    is_json(body) && without_mark(body).trim_ascii_start().starts_with(b"{")
}

/// Classifies the answers of each route as the settings say.
pub struct Judge {
    /// In the order of the routes.
    forms: Vec<AnswerForm>,
    hints: Places,
}

/// The form of a route's answers.
enum AnswerForm {
    /// They hold a status.
    Status(Status),
    /// They are a result, or say that there is none yet.
    Result,
}

/// The content of an answer.
struct Content {
    phase: Phase,
    /// The status in the upstream's own word.
    word: Option<String>,
    /// The ids by which it names its task, if none of them is the path's.
    foreign: Option<ForeignIds>,
    hints: Option<Box<Hints>>,
}

impl Judge {
    /// Uses `status_pointer` and `terminal_statuses`, or those of the route.
    pub fn new(settings: &config::Upstream) -> Self {
        let reading = |own: &config::RouteReading| {
            if own.result {
                return AnswerForm::Result;
            }
            let place = own.status_pointer.as_ref().unwrap_or(&settings.status_pointer);
            let terminal = own.terminal_statuses.as_ref().unwrap_or(&settings.terminal_statuses);
            AnswerForm::Status(Status::new(place, terminal.clone()))
        };
        Self { forms: settings.readings.iter().map(reading).collect(), hints: Places::new(settings) }
    }

    /// Whether a status code by itself says that the task goes on.
    pub(super) fn is_not_yet(&self, key: &TaskKey, status: StatusCode) -> bool {
        match self.forms.get(key.route()) {
            Some(AnswerForm::Result) => phase_of_result(status) == Phase::Live,
            Some(AnswerForm::Status(_)) | None => status == StatusCode::ACCEPTED,
        }
    }

    /// Whether an answer with this code holds a status, by the settings. A boolean is often absent until the end.
    pub(super) fn expects_word(&self, key: &TaskKey, status: StatusCode) -> bool {
        let form = self.forms.get(key.route());
        let is_word = matches!(form, Some(AnswerForm::Status(place)) if !place.may_be_absent());
        is_word && status.is_success() && status != StatusCode::ACCEPTED
    }

    /// Makes a snapshot of a complete answer that [`by_status`] let through, and reads which task it names.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn answer(
        &self,
        key: &TaskKey,
        status: StatusCode,
        content_type: HeaderValue,
        body: Bytes,
        fetched: Instant,
        now: SystemTime,
    ) -> Result<Fetched, Unreadable> {
        let parsed = serde_json::from_slice(without_mark(&body));
        let document: &RawValue = parsed.map_err(|_| Unreadable::NotJson)?;
        let Content { phase, word, foreign, hints } = match self.forms.get(key.route()) {
            Some(AnswerForm::Status(place)) if status.is_success() => {
                Content::of_state(key, document, place, &self.hints, now)?
            }
            Some(AnswerForm::Result) => Content::of_code(key, document, phase_of_result(status)),
            Some(AnswerForm::Status(_)) | None => Content::of_code(key, document, phase_of_refusal(status)),
        };
        let is_over = phase == Phase::Terminal;
        let lifetime = is_over.then(|| expiry::result_lifetime(document, now)).flatten();
        let mut snapshot = Snapshot::new(status, content_type, body, fetched, phase);
        snapshot.result_lifetime = lifetime;
        snapshot.word = word.map(cut);
        snapshot.hints = hints;
        Ok(Fetched { snapshot, foreign })
    }
}

impl Content {
    /// The content of an answer whose code alone decides.
    fn of_code(key: &TaskKey, document: &RawValue, phase: Phase) -> Self {
        let foreign = foreign_ids(key.id(), members(document, IDS));
        Self { phase, word: None, foreign, hints: None }
    }

    /// The content of an answer that holds a status.
    fn of_state(
        key: &TaskKey,
        document: &RawValue,
        place: &Status,
        hints: &Places,
        now: SystemTime,
    ) -> Result<Self, Unreadable> {
        let [created, model, progress] = hints.first_tokens();
        let names = [place.first_token(), "error", IDS[0], IDS[1], created, model, progress];
        let [first, error, id, task_id, hinted @ ..] = members(document, names);
        let word = place.word(document, first);
        // An error inside a 2xx. A failed task carries an `error` too, but beside its status.
        let is_error = error.is_some_and(|error| error.get() != "null");
        if word.is_none() && (is_error || !document.get().starts_with('{')) {
            return Err(Unreadable::NoState);
        }
        let is_over = word.as_ref().is_some_and(|word| place.is_terminal(word));
        let phase = if is_over { Phase::Terminal } else { Phase::Live };
        let foreign = foreign_ids(key.id(), [id, task_id]);
        Ok(Self { phase, word, foreign, hints: hints.read(document, hinted, now) })
    }
}

/// The phase of an answer that is no 2xx.
fn phase_of_refusal(status: StatusCode) -> Phase {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Phase::Missing,
        _ => Phase::Refused,
    }
}

/// The phase of an answer on a route that shows results. Until there is one, APIs answer with one of several codes.
fn phase_of_result(status: StatusCode) -> Phase {
    match status.as_u16() {
        202 | 400 | 404 | 409 | 425 => Phase::Live,
        // The result of a task that has failed, as fal gives it for ever.
        422 => Phase::Terminal,
        200..300 => Phase::Terminal,
        _ => phase_of_refusal(status),
    }
}

/// The ids by which an answer names its task, if none of them is the path's.
fn foreign_ids(path_id: &str, members: [Option<&RawValue>; 2]) -> Option<ForeignIds> {
    let claimed = members.map(|member| member.map(RawValue::get));
    // The id of most answers: one comparison, and nothing is copied.
    if claimed.iter().flatten().any(|text| unquoted(text) == Some(path_id)) {
        return None;
    }
    ForeignIds::new(path_id, claimed.into_iter().flatten().filter_map(id))
}

/// A JSON value as an id: strings, and numbers by their text. Others name nothing.
fn id(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first()? {
        // A string that is no text, such as half an emoji, is compared as it is written.
        b'"' => Some(serde_json::from_str(text).map_or(Cow::Borrowed(text), Cow::Owned)),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The first [`MAX_WORD`] characters of a status word.
fn cut(word: String) -> Box<str> {
    if word.len() <= MAX_WORD { word.into() } else { word.chars().take(MAX_WORD).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::task::{Route, Routes};

    const WORDS: &[&str] = &["completed", "failed", "succeeded"];

    fn key(id: &str) -> TaskKey {
        Routes::new(vec![Route::parse("/{id}").unwrap()]).bare(id).unwrap()
    }

    fn status_at(place: &str, words: &[&str]) -> Judge {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Judge { forms: vec![AnswerForm::Status(Status::new(place, words))], hints: Places::default() }
    }

    fn answer(judge: &Judge, id: &str, code: u16, body: &str) -> Result<Fetched, Unreadable> {
        let status = StatusCode::from_u16(code).unwrap();
        let json = HeaderValue::from_static("application/json");
        let body = Bytes::copy_from_slice(body.as_bytes());
        judge.answer(&key(id), status, json, body, Instant::now(), SystemTime::UNIX_EPOCH)
    }

    fn phase_by(judge: &Judge, code: u16, body: &str) -> Result<Phase, Unreadable> {
        answer(judge, "t", code, body).map(|answer| answer.snapshot.phase)
    }

    fn phase_at(place: &str, code: u16, body: &str) -> Result<Phase, Unreadable> {
        phase_by(&status_at(place, WORDS), code, body)
    }

    fn phase(code: u16, body: &str) -> Result<Phase, Unreadable> {
        phase_at("/status", code, body)
    }

    #[test]
    fn the_status_word_decides_the_phase() {
        for body in [
            r#"{"status":"completed"}"#,
            r#"{"status":"FAILED"}"#,
            r#" { "status" : "Succeeded" , "n": 1e999, "big": 123456789012345678901234567890 } "#,
            r#"{"status":"\u0063ompleted","prompt":"cut \ud83d"}"#,
            r#"{"status":"pending","status":"completed"}"#,
            r#"{"\ud83d":1,"status":"completed"}"#,
            r#"{"stat\u0075s":"completed"}"#,
        ] {
            assert_eq!(phase(200, body), Ok(Phase::Terminal), "{body}");
        }
        for body in [
            r#"{"status":"processing"}"#,
            r#"{"status":"paused"}"#,
            r#"{"status":null}"#,
            r#"{"status":7}"#,
            r#"{"status":true}"#,
            r#"{"status":""}"#,
            r#"{"status":" "}"#,
            r#"{"status":{"completed":1}}"#,
            r#"{"note":"\"status\":\"completed\""}"#,
            r"{}",
            r#"{"status":"failed to start"}"#,
            r#"{"error":"soft","status":"x"}"#,
            r#"{"status":"processing","error":{"message":"retrying"}}"#,
        ] {
            assert_eq!(phase(200, body), Ok(Phase::Live), "{body}");
        }
    }

    #[test]
    fn what_is_not_complete_json_is_invalid() {
        let bodies =
            ["", " ", "{", r#"{"status":"completed""#, "<html>", "{} {}", "{\"a\":\"\u{1}\"}", "NaN"];
        for body in bodies {
            assert_eq!(phase(200, body), Err(Unreadable::NotJson), "{body:?}");
            assert_eq!(phase(404, body), Err(Unreadable::NotJson), "{body:?}");
        }
    }

    #[test]
    fn an_error_or_no_object_is_no_state_unless_it_has_a_status() {
        for body in [
            r#"{"error":{"message":"no"}}"#,
            r#"{"error":"no"}"#,
            r#"{"code":500,"error":true}"#,
            "null",
            "[]",
            "7",
            r#""completed""#,
        ] {
            assert_eq!(phase(200, body), Err(Unreadable::NoState), "{body}");
        }
        for body in [r#"{"status":"","error":"no"}"#, r#"{"status":500,"error":"no"}"#] {
            assert_eq!(phase(200, body), Err(Unreadable::NoState), "{body}");
        }
        assert_eq!(phase(200, r#"{"error":null}"#), Ok(Phase::Live));
        assert_eq!(phase(200, r#"{"error":"no","status":"failed"}"#), Ok(Phase::Terminal));
        assert_eq!(phase_at("/0/status", 200, r#"[{"status":"failed"}]"#), Ok(Phase::Terminal));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(phase(200, "\u{feff}{\"status\":\"failed\"}"), Ok(Phase::Terminal));
    }

    #[test]
    fn a_404_or_410_is_missing_and_any_other_4xx_is_refused_whatever_it_says() {
        assert_eq!(phase(404, r#"{"error":{"code":"async_task_not_found"}}"#), Ok(Phase::Missing));
        assert_eq!(phase(410, r#"{"status":"completed"}"#), Ok(Phase::Missing));
        for code in [400, 403, 405, 408, 409, 412, 422, 423, 425, 451, 499] {
            assert_eq!(phase(code, r#"{"status":"completed"}"#), Ok(Phase::Refused), "{code}");
        }
    }

    #[test]
    fn an_answer_names_its_task_by_its_top_level_ids() {
        let foreign = |code, body| answer(&status_at("/status", WORDS), "7", code, body).unwrap().foreign;
        for own in [
            r#"{"id":"7"}"#,
            r#"{"id":7,"status":"completed"}"#,
            r#"{"id":"\u0037"}"#,
            r#"{"task_id":"7","id":"other"}"#,
            r#"{"id":"7","task_id":"other"}"#,
            r#"{"id":"other","id":"7"}"#,
            r#"{"id":"","task_id":null}"#,
            r#"{"id":{"id":"8"},"task_id":["8"]}"#,
            r#"{"id":true}"#,
            r#"{"data":{"id":"8"},"request_id":"8"}"#,
            "{}",
        ] {
            assert_eq!((foreign(200, own), foreign(404, own)), (None, None), "{own}");
        }
        for (other, ids) in [
            (r#"{"id":"8"}"#, &["8"][..]),
            (r#"{"task_id":"8","id":null}"#, &["8"]),
            (r#"{"id":8,"task_id":"9"}"#, &["8", "9"]),
            (r#"{"id":7.0}"#, &["7.0"]),
            (r#"{"id":"7","id":"8"}"#, &["8"]),
            (r#"{"id":" 7"}"#, &[" 7"]),
            (r#"{"id":"\ud83d"}"#, &[r#""\ud83d""#]),
        ] {
            let ids = ForeignIds::new("7", ids);
            assert_eq!((foreign(200, other), foreign(404, other)), (ids.clone(), ids), "{other}");
        }
    }

    #[test]
    fn pointers_reach_into_objects_and_arrays() {
        let terminal = |pointer_text, body| phase_at(pointer_text, 200, body) == Ok(Phase::Terminal);
        assert!(terminal("/task/state", r#"{"task":{"state":"completed"}}"#));
        assert!(terminal("/items/1", r#"{"items":["x","failed"]}"#));
        assert!(terminal("/a~1b/~0", r#"{"a/b":{"~":"failed"}}"#));
        assert!(!terminal("/items/01", r#"{"items":["x","failed"]}"#));
        assert!(!terminal("/items/-", r#"{"items":["failed"]}"#));
    }

    #[test]
    fn a_boolean_or_a_number_is_a_status_where_such_are_listed() {
        let done = status_at("/done", &["true"]);
        for (body, expected) in [
            (r#"{"name":"operations/1"}"#, Ok(Phase::Live)),
            (r#"{"name":"operations/1","done":false}"#, Ok(Phase::Live)),
            (r#"{"name":"operations/1","done":true,"response":{}}"#, Ok(Phase::Terminal)),
            (r#"{"name":"operations/1","done":true,"error":{"code":13}}"#, Ok(Phase::Terminal)),
            (r#"{"done":"true"}"#, Ok(Phase::Terminal)),
            (r#"{"done":1}"#, Ok(Phase::Live)),
            (r#"{"error":{"code":404}}"#, Err(Unreadable::NoState)),
        ] {
            assert_eq!(phase_by(&done, 200, body), expected, "{body}");
        }
        let state = status_at("/data/state", &["1", "-1"]);
        for (body, expected) in [
            (r#"{"data":{"state":0}}"#, Ok(Phase::Live)),
            (r#"{"data":{"state":1}}"#, Ok(Phase::Terminal)),
            (r#"{"data":{"state":-1}}"#, Ok(Phase::Terminal)),
            (r#"{"data":{"state":1.0}}"#, Ok(Phase::Live)),
            (r#"{"data":{"state":true}}"#, Ok(Phase::Live)),
        ] {
            assert_eq!(phase_by(&state, 200, body), expected, "{body}");
        }
    }

    #[test]
    fn a_result_is_over_with_its_code() {
        let judge = Judge { forms: vec![AnswerForm::Result], hints: Places::default() };
        let phase = |code, body| phase_by(&judge, code, body);
        for code in [202, 400, 404, 409, 425] {
            assert_eq!(
                phase(code, r#"{"detail":"Request is still in progress"}"#),
                Ok(Phase::Live),
                "{code}"
            );
        }
        for (code, body) in [
            (200, r#"{"video":{"url":"https://v3.fal.media/a.mp4"}}"#),
            (200, r#"["https://v3.fal.media/a.mp4"]"#),
            (201, r#"{"error":null}"#),
            (422, r#"{"detail":[{"msg":"blocked"}]}"#),
        ] {
            assert_eq!(phase(code, body), Ok(Phase::Terminal), "{code} {body}");
        }
        assert_eq!((phase(410, "{}"), phase(403, "{}")), (Ok(Phase::Missing), Ok(Phase::Refused)));
        assert_eq!(phase(200, "<html>"), Err(Unreadable::NotJson));
    }

    #[test]
    fn status_codes_come_before_bodies() {
        let verdict =
            |code| by_status(StatusCode::from_u16(code).unwrap(), &HeaderMap::new(), SystemTime::UNIX_EPOCH);
        assert_eq!(verdict(401), Some(Failure::KeyRejected));
        assert_eq!(verdict(402), Some(Failure::QuotaExhausted));
        assert_eq!(verdict(429), Some(Failure::RateLimited { retry_after: None }));
        for code in [101, 300, 301, 304, 308, 399] {
            assert_eq!(verdict(code), Some(Failure::InvalidResponse { status: code }));
        }
        for code in [500, 502, 503, 504, 599, 999] {
            assert_eq!(verdict(code), Some(Failure::ServerError { status: code, retry_after: None }));
        }
        for code in [200, 202, 299, 400, 403, 404, 410, 499] {
            assert_eq!(verdict(code), None);
        }
    }
}
