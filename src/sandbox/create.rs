//! Owns the reading of a create's body into a [`Plan`].
//!
//! LemonData's parameters that the sandbox has no use for (size, duration, n …) are accepted and ignored. The
//! object `sandbox` exists only here: it pins the task to a state, or sets its duration and ending.
//!
//! | key | value | effect on the task |
//! |---|---|---|
//! | `status` | `pending`, `processing`, `completed`, `failed`, `cancelled` or `expired` | stays in this state; `expired` answers 404 |
//! | `progress` | 0 to 100, with `"status": "processing"` only | shows this percentage (default 50) |
//! | `duration` | `5s`, `2m` …, without `status` | takes this long from create to end |
//! | `fail` | `true` or `false`, without `status` | ends as failed, or as completed |

use std::time::Duration;

use serde_json::{Map, Value};

use super::options;
use super::plan::{Course, Ending, Pin, Plan};
use super::refusal::Refusal;

const PINNED_PROGRESS: u8 = 50;

pub(super) fn read(body: &[u8]) -> Result<Plan, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|fault| invalid(None, format!("The body must be JSON, and is not: {fault}.")))?;
    let Value::Object(body) = body else {
        return Err(invalid(None, "The body must be a JSON object."));
    };
    let prompt = match body.get("prompt") {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        None => return Err(invalid("prompt", "`prompt` is missing.")),
        Some(_) => return Err(invalid("prompt", "`prompt` must be a string, and not empty.")),
    };
    let model = match body.get("model") {
        None => None,
        Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
        Some(_) => return Err(invalid("model", "`model` must be a string, and not empty.")),
    };
    let course = match body.get("sandbox") {
        None => Course::default(),
        Some(Value::Object(wishes)) => Wishes::read(wishes)?.course()?,
        Some(_) => return Err(invalid("sandbox", "`sandbox` must be an object.")),
    };
    Ok(Plan { prompt, model, course, elapsed: Duration::ZERO })
}

/// The object `sandbox`: each value is valid by itself, their combination is not checked yet.
#[derive(Default)]
struct Wishes {
    status: Option<Status>,
    progress: Option<u8>,
    duration: Option<Duration>,
    ending: Option<Ending>,
}

enum Status {
    Processing,
    Other(Pin),
}

impl Wishes {
    fn read(object: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut wishes = Self::default();
        for (key, value) in object {
            match key.as_str() {
                "status" => wishes.status = Some(status(value)?),
                "progress" => wishes.progress = Some(progress(value)?),
                "duration" => wishes.duration = Some(duration(value)?),
                "fail" => wishes.ending = Some(ending(value)?),
                _ => {
                    let message =
                        format!("`sandbox.{key}` is unknown; allowed are status, progress, duration, fail.");
                    return Err(invalid("sandbox", message));
                }
            }
        }
        Ok(wishes)
    }

    fn course(self) -> Result<Course, Refusal> {
        let Self { status, progress, duration, ending } = self;
        let Some(status) = status else {
            if progress.is_some() {
                return Err(progress_alone());
            }
            return Ok(Course::Run { duration, ending });
        };
        if duration.is_some() || ending.is_some() {
            let message =
                "`sandbox.status` pins the task, so it takes neither `duration` nor `fail` beside it.";
            return Err(invalid("sandbox.status", message));
        }
        match (status, progress) {
            (Status::Processing, percent) => {
                Ok(Course::Pinned(Pin::Processing(percent.unwrap_or(PINNED_PROGRESS))))
            }
            (Status::Other(pin), None) => Ok(Course::Pinned(pin)),
            (Status::Other(_), Some(_)) => Err(progress_alone()),
        }
    }
}

fn status(value: &Value) -> Result<Status, Refusal> {
    Ok(match value.as_str() {
        Some("pending") => Status::Other(Pin::Pending),
        Some("processing") => Status::Processing,
        Some("completed") => Status::Other(Pin::Completed),
        Some("failed") => Status::Other(Pin::Failed),
        Some("cancelled") => Status::Other(Pin::Cancelled),
        Some("expired") => Status::Other(Pin::Expired),
        _ => {
            let message =
                "`sandbox.status` must be pending, processing, completed, failed, cancelled or expired.";
            return Err(invalid("sandbox.status", message));
        }
    })
}

fn progress(value: &Value) -> Result<u8, Refusal> {
    value
        .as_u64()
        .and_then(|percent| u8::try_from(percent).ok())
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| {
            invalid("sandbox.progress", "`sandbox.progress` must be a whole number from 0 to 100.")
        })
}

fn duration(value: &Value) -> Result<Duration, Refusal> {
    let text = value.as_str().ok_or_else(|| {
        invalid("sandbox.duration", "`sandbox.duration` must be a string, such as \"5s\" or \"2m\".")
    })?;
    options::duration(text)
        .map_err(|fault| invalid("sandbox.duration", format!("`sandbox.duration`: {fault}.")))
}

fn ending(value: &Value) -> Result<Ending, Refusal> {
    match value {
        Value::Bool(true) => Ok(Ending::Failed),
        Value::Bool(false) => Ok(Ending::Completed),
        _ => Err(invalid("sandbox.fail", "`sandbox.fail` must be true or false.")),
    }
}

fn progress_alone() -> Refusal {
    let message = "`sandbox.progress` only goes with \"status\": \"processing\".";
    invalid("sandbox.progress", message)
}

fn invalid(param: impl Into<Option<&'static str>>, message: impl Into<String>) -> Refusal {
    Refusal::Invalid { param: param.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(wishes: &str) -> Result<Course, Refusal> {
        let body = format!(r#"{{"prompt":"p","sandbox":{wishes}}}"#);
        read(body.as_bytes()).map(|plan| plan.course)
    }

    #[test]
    fn real_parameters_are_taken() {
        let plan = read(br#"{"prompt":"p \u00e9","model":"m","size":"1024x1024","n":2}"#).unwrap();
        let expected = Plan { prompt: "p é".into(), model: Some("m".into()), ..Plan::default() };
        assert_eq!(plan, expected);
    }

    #[test]
    fn wishes_are_read() {
        let second = Some(Duration::from_secs(1));
        let cases = [
            ("{}", Course::Run { duration: None, ending: None }),
            (r#"{"duration":"1s"}"#, Course::Run { duration: second, ending: None }),
            (r#"{"fail":true}"#, Course::Run { duration: None, ending: Some(Ending::Failed) }),
            (r#"{"fail":false}"#, Course::Run { duration: None, ending: Some(Ending::Completed) }),
            (r#"{"status":"pending"}"#, Course::Pinned(Pin::Pending)),
            (r#"{"status":"processing"}"#, Course::Pinned(Pin::Processing(50))),
            (r#"{"status":"processing","progress":40}"#, Course::Pinned(Pin::Processing(40))),
            (r#"{"status":"completed"}"#, Course::Pinned(Pin::Completed)),
            (r#"{"status":"failed"}"#, Course::Pinned(Pin::Failed)),
            (r#"{"status":"cancelled"}"#, Course::Pinned(Pin::Cancelled)),
            (r#"{"status":"expired"}"#, Course::Pinned(Pin::Expired)),
        ];
        for (wishes, expected) in cases {
            assert_eq!(course(wishes), Ok(expected), "{wishes}");
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_what_is_allowed() {
        let cases = [
            ("[]", "sandbox", "must be an object"),
            (r#"{"state":"failed"}"#, "sandbox", "allowed are status, progress, duration, fail"),
            (r#"{"status":"done"}"#, "sandbox.status", "must be pending, processing"),
            (r#"{"status":7}"#, "sandbox.status", "must be pending, processing"),
            (r#"{"status":"failed","fail":true}"#, "sandbox.status", "neither `duration` nor `fail`"),
            (r#"{"status":"failed","duration":"1s"}"#, "sandbox.status", "neither `duration` nor `fail`"),
            (r#"{"status":"failed","progress":1}"#, "sandbox.progress", "only goes with"),
            (r#"{"progress":40}"#, "sandbox.progress", "only goes with"),
            (r#"{"status":"processing","progress":101}"#, "sandbox.progress", "from 0 to 100"),
            (r#"{"status":"processing","progress":4.5}"#, "sandbox.progress", "from 0 to 100"),
            (r#"{"duration":5}"#, "sandbox.duration", "must be a string"),
            (r#"{"duration":"5"}"#, "sandbox.duration", "such as 50ms"),
            (r#"{"fail":"yes"}"#, "sandbox.fail", "true or false"),
        ];
        for (wishes, field, part) in cases {
            let Err(Refusal::Invalid { param, message }) = course(wishes) else {
                panic!("{wishes} was taken")
            };
            assert_eq!(param, Some(field), "{wishes}");
            assert!(message.contains(part), "{wishes}: {message}");
        }
    }

    #[test]
    fn the_body_is_an_object_with_a_prompt() {
        let cases: [(&[u8], Option<&str>, &str); 8] = [
            (b"", None, "must be JSON"),
            (b"prompt=p", None, "must be JSON"),
            (b"{\"prompt\":\"\xff\"}", None, "must be JSON"),
            (b"[]", None, "JSON object"),
            (b"{}", Some("prompt"), "missing"),
            (br#"{"prompt":""}"#, Some("prompt"), "not empty"),
            (br#"{"prompt":null}"#, Some("prompt"), "must be a string"),
            (br#"{"prompt":"p","model":1}"#, Some("model"), "must be a string"),
        ];
        for (body, field, part) in cases {
            let Err(Refusal::Invalid { param, message }) = read(body) else { panic!("{body:?} was taken") };
            assert_eq!(param, field, "{body:?}");
            assert!(message.contains(part), "{body:?}: {message}");
        }
    }
}
