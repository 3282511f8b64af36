//! Owns the syntax of plain values: durations, sizes, numbers, choices. A value out of bounds is a fault;
//! none is clamped.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

use super::value::{Parsed, Value, wrong};

/// The lower bound of durations that must not be zero.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;

/// A duration such as `"10s"` or `"1h 30m"`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Parsed<Duration> {
    move |value| {
        if let Some(number) = bare_number(value) {
            return wrong(format!("{value} has no unit; write \"{number}s\""));
        }
        let time = value.text("").ok().and_then(|text| humantime::parse_duration(text).ok());
        match time {
            None => wrong(format!("{value} is not a time; write one such as \"500ms\", \"10s\" or \"1h\"")),
            Some(time) if time < *range.start() => {
                wrong(format!("{value} is too short; write at least \"{}\"", duration_text(*range.start())))
            }
            Some(time) if time > *range.end() => {
                wrong(format!("{value} is too long; write at most \"{}\"", duration_text(*range.end())))
            }
            Some(time) => Ok(time),
        }
    }
}

/// The text that [`duration`] reads as this time.
pub(super) fn duration_text(time: Duration) -> String {
    let text = humantime::format_duration(time).to_string();
    // With a single unit where that is exact: 75s, not 1m 15s.
    let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let millis = time.as_millis();
    let is_exact = time.subsec_nanos().is_multiple_of(1_000_000);
    match units.into_iter().find(|(unit, _)| is_exact && millis.is_multiple_of(*unit)) {
        Some((unit, name)) if text.contains(' ') => format!("{}{name}", millis / unit),
        _ => text,
    }
}

/// A number of bytes such as `"1MiB"`.
pub(super) fn size<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Parsed<T> {
    move |value| {
        if let Some(number) = bare_number(value) {
            return wrong(format!("{value} has no unit; write \"{number}B\""));
        }
        let size = value.text("").ok().and_then(|text| text.parse::<ByteSize>().ok());
        let Some(ByteSize(bytes)) = size else {
            return wrong(format!("{value} is not a size; write one such as \"512KiB\" or \"1MiB\""));
        };
        match T::try_from(bytes) {
            Ok(size) if range.contains(&bytes) => Ok(size),
            _ if bytes < *range.start() => {
                wrong(format!("{value} is too small; write at least \"{}\"", size_text(*range.start())))
            }
            _ => wrong(format!("{value} is too large; write at most \"{}\"", size_text(*range.end()))),
        }
    }
}

/// The text that [`size`] reads as exactly this number of bytes.
pub(super) fn size_text(bytes: u64) -> String {
    match [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")].iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
        Some((unit, name)) if bytes > 0 => format!("{}{name}", bytes / unit),
        _ => format!("{bytes}B"),
    }
}

/// The digits of a value that is a number without a unit. Not of a negative one: a unit would not mend it.
fn bare_number(value: &Value) -> Option<String> {
    match value {
        Value::Toml(toml::Value::Integer(number)) if *number >= 0 => Some(number.to_string()),
        Value::Text(text) | Value::Toml(toml::Value::String(text)) => {
            let text = text.trim();
            (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
        }
        Value::Toml(_) => None,
    }
}

/// A whole number.
pub(super) fn count<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Parsed<T> {
    move |value| {
        let cure = format!("write a whole number from {} to {}", range.start(), range.end());
        let number = match value {
            Value::Toml(toml::Value::Integer(number)) => Some(i128::from(*number)),
            Value::Toml(toml::Value::String(text)) if text.parse::<i64>().is_ok() => {
                return wrong(format!("{value} is in quotes; write {text}"));
            }
            Value::Text(text) => text.trim().parse().ok(),
            Value::Toml(_) => None,
        };
        let Some(number) = number else {
            return wrong(format!("{value} is not a whole number; {cure}"));
        };
        u64::try_from(number)
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| vec![format!("{value} is out of range; {cure}")])
    }
}

/// A whole number; 0 means off, and becomes `None`.
pub(super) fn limit(most: u64) -> impl Fn(&Value) -> Parsed<Option<u32>> {
    let count = count::<u32>(0..=most);
    move |value| Ok(Some(count(value)?).filter(|number| *number > 0))
}

/// A part of the whole: more than 0, at most 1.
pub(super) fn share(value: &Value) -> Parsed<f64> {
    const CURE: &str = "write a number above 0 and up to 1, such as 0.8";
    let number = match value {
        Value::Toml(toml::Value::Float(number)) => Some(*number),
        Value::Toml(toml::Value::Integer(1)) => Some(1.0),
        // All whole numbers but 1 are out of range, so NaN stands for them.
        Value::Toml(toml::Value::Integer(_)) => Some(f64::NAN),
        Value::Toml(toml::Value::String(text)) if text.parse::<f64>().is_ok() => {
            return wrong(format!("{value} is in quotes; write {text}"));
        }
        Value::Text(text) => text.trim().parse().ok(),
        Value::Toml(_) => None,
    };
    match number {
        None => wrong(format!("{value} is not a number; {CURE}")),
        Some(number) if number > 0.0 && number <= 1.0 => Ok(number),
        Some(_) => wrong(format!("{value} is out of range; {CURE}")),
    }
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Parsed<bool> {
    match value {
        Value::Toml(toml::Value::Boolean(flag)) => Ok(*flag),
        Value::Toml(toml::Value::String(text)) if text.parse::<bool>().is_ok() => {
            wrong(format!("{value} is in quotes; write {text}"))
        }
        Value::Text(text) if text.trim().parse::<bool>().is_ok() => Ok(text.trim() == "true"),
        Value::Toml(_) | Value::Text(_) => {
            wrong(format!("{value} is neither true nor false; write true or false"))
        }
    }
}

/// One of these words, and its meaning.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Value) -> Parsed<T> {
    move |value| {
        let names: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let chosen = value.text(words.first().map_or("", |(word, _)| word));
        match chosen.map(|text| words.iter().find(|(word, _)| *word == text)) {
            Ok(Some((_, meaning))) => Ok(*meaning),
            Ok(None) | Err(_) => wrong(format!("{value} is not known; write {}", names.join(" or "))),
        }
    }
}

/// A list without repetitions. Every item is checked, so that all faults are found at once.
pub(super) fn list<T: PartialEq>(
    example: &str,
    item: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&Value) -> Parsed<Vec<T>> {
    move |value| {
        let (mut good, mut faults) = (Vec::new(), Vec::new());
        for text in value.items(example)? {
            match item(text) {
                Ok(part) if good.contains(&part) => {
                    faults.push(format!("{text:?} comes twice; delete one of the two"));
                }
                Ok(part) => good.push(part),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(good) } else { Err(faults) }
    }
}

/// A list that must not be empty.
pub(super) fn some<T>(
    example: &str,
    list: impl Fn(&Value) -> Parsed<Vec<T>>,
) -> impl Fn(&Value) -> Parsed<Vec<T>> {
    move |value| {
        let items = list(value)?;
        if !items.is_empty() {
            return Ok(items);
        }
        wrong(match value {
            Value::Text(_) => format!("is empty; write at least one, such as {example}"),
            Value::Toml(_) => format!("is empty; write at least one, such as [{example:?}]"),
        })
    }
}
