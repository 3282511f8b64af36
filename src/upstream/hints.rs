//! Owns the reading of what helps to foretell a task's end: when it was created, which model works on it, and how far it
//! is. Odd values are ignored: an answer is as good without them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::json::Pointer;
use crate::config;
use crate::core::pacing::MOST_NAME;
use crate::core::snapshot::Hints;

/// The longest value that is read, as JSON writes it, in bytes.
const MOST_TEXT: usize = 1024;
/// An older creation is taken for nonsense.
const OLDEST: Duration = Duration::from_secs(30 * 86_400);
/// A larger number of seconds would lie in the year 5138: it counts thousandths, or thousandths of these.
const MOST_SECONDS: f64 = 1e11;
/// So far ahead of this host's clock that of the upstream may be. A creation that is further in the future is nonsense.
const AHEAD: Duration = Duration::from_secs(5);

/// The places of the hints in an answer; `None`: there is none.
#[derive(Debug, Default)]
pub(super) struct Places {
    created: Option<Pointer>,
    model: Option<Pointer>,
    progress: Option<Pointer>,
}

impl Places {
    pub(super) fn new(settings: &config::Upstream) -> Self {
        let place = |text: &Option<String>| text.as_deref().map(Pointer::new);
        Self {
            created: place(&settings.created_pointer),
            model: place(&settings.model_pointer),
            progress: place(&settings.progress_pointer),
        }
    }

    /// The members of an object in which the hints stand.
    pub(super) fn first_tokens(&self) -> [&str; 3] {
        [&self.created, &self.model, &self.progress]
            .map(|place| place.as_ref().map_or("", Pointer::first_token))
    }

    /// Reads the hints. `firsts` are the members that [`first_tokens`](Self::first_tokens) names.
    pub(super) fn read(
        &self,
        document: &RawValue,
        firsts: [Option<&RawValue>; 3],
        now: SystemTime,
    ) -> Option<Box<Hints>> {
        let [created, model, progress] = firsts;
        let text = |place: &Option<Pointer>, first| {
            let value = place.as_ref()?.find(document, first)?;
            text(value)
        };
        let hints = Hints {
            age: text(&self.created, created).and_then(|text| age(&text, now)),
            model: text(&self.model, model).filter(|name| !name.trim().is_empty()).map(|name| cut(&name)),
            progress: text(&self.progress, progress).and_then(|text| percent(&text)),
        };
        (hints != Hints::default()).then(|| Box::new(hints))
    }
}

/// The text of a string, or of a number.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    match text.as_bytes().first()? {
        _ if text.len() > MOST_TEXT => None,
        b'"' => serde_json::from_str(text).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

/// The time since a creation, as seconds since 1970, thousandths, millionths or billionths of them, or as a date
/// (RFC 3339).
fn age(created: &str, now: SystemTime) -> Option<Duration> {
    let seconds = if let Ok(mut number) = created.parse::<f64>() {
        for _ in 0..3 {
            if number > MOST_SECONDS {
                number /= 1000.0;
            }
        }
        number
    } else {
        created.parse::<Timestamp>().ok()?.as_duration().as_secs_f64()
    };
    let since_1970 = Duration::try_from_secs_f64(seconds).ok()?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    if since_1970 > now + AHEAD {
        return None;
    }
    Some(now.saturating_sub(since_1970)).filter(|age| *age <= OLDEST)
}

/// A progress in percent, with or without its sign.
fn percent(text: &str) -> Option<f32> {
    let number: f32 = text.trim().trim_end_matches('%').parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

/// The beginning of a name that is kept.
fn cut(name: &str) -> Box<str> {
    let mut kept = String::new();
    for character in name.chars() {
        if kept.len() + character.len_utf8() > MOST_NAME {
            break;
        }
        kept.push(character);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::json::members;

    /// 2026-11-30T00:00:00Z.
    const NOW: u64 = 1_795_996_800;

    fn read(body: &str) -> Hints {
        let place = |text| Some(Pointer::new(text));
        let places =
            Places { created: place("/created"), model: place("/input/model"), progress: place("/progress") };
        let document: &RawValue = serde_json::from_str(body).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let firsts = members(document, places.first_tokens());
        places.read(document, firsts, now).map(|hints| *hints).unwrap_or_default()
    }

    #[test]
    fn a_creation_is_read_in_the_usual_forms() {
        for created in [
            (NOW - 90).to_string(),
            format!("{}.0", NOW - 90),
            format!("{}000", NOW - 90),
            format!("{}000000", NOW - 90),
            format!("{}000000000", NOW - 90),
            format!("\"{}\"", NOW - 90),
            "\"2026-11-29T23:58:30Z\"".to_owned(),
            "\"2026-11-30T00:58:30+01:00\"".to_owned(),
        ] {
            let age = read(&format!(r#"{{"created":{created}}}"#)).age;
            assert_eq!(age, Some(Duration::from_secs(90)), "{created}");
        }
    }

    #[test]
    fn what_is_odd_is_ignored_or_bounded() {
        let created_at = |at: u64| read(&format!(r#"{{"created":{at}}}"#)).age;
        assert_eq!(created_at(NOW + 5), Some(Duration::ZERO), "the clocks of hosts differ a little");
        assert_eq!([NOW + 6, NOW + 3600, NOW + 86_400 * 3650].map(created_at), [None; 3]);
        for created in
            ["0", "-5", "1e999", "null", "true", "{}", "[1]", r#""yesterday""#, r#""""#, "1e308", "1e20"]
        {
            assert_eq!(read(&format!(r#"{{"created":{created}}}"#)).age, None, "{created}");
        }
        for progress in ["-1", "101", "1e400", "null", r#""half""#, r#""NaN""#, "{}", r#""inf""#] {
            assert_eq!(read(&format!(r#"{{"progress":{progress}}}"#)), Hints::default(), "{progress}");
        }
        for (progress, told) in [("0", 0.0), ("42.5", 42.5), (r#""42%""#, 42.0), ("1e2", 100.0)] {
            assert_eq!(read(&format!(r#"{{"progress":{progress}}}"#)).progress, Some(told));
        }
    }

    #[test]
    fn a_model_is_a_name_of_bounded_length() {
        let model = |value: &str| read(&format!(r#"{{"input":{{"model":{value}}}}}"#)).model;
        assert_eq!(model(r#""sora-2""#).as_deref(), Some("sora-2"));
        assert_eq!(model("7").as_deref(), Some("7"));
        for none in [r#""""#, r#"" ""#, "null", "{}", "true", r#""\ud83d""#] {
            assert_eq!(model(none), None, "{none}");
        }
        let long = model(&format!("\"a{}\"", "é".repeat(200))).unwrap();
        assert_eq!((long.len(), long.chars().count()), (63, 32), "whole characters");
        assert_eq!(model(&format!("\"{}\"", "x".repeat(5000))), None);
    }
}
