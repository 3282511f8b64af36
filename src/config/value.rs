//! Owns the values of settings as they were written, before they are checked.

use std::fmt;

/// A checked value, or the messages of all its faults.
pub(super) type Parsed<T> = Result<T, Vec<String>>;

/// The result of a check that found one fault.
pub(super) fn wrong<T>(message: impl Into<String>) -> Parsed<T> {
    Err(vec![message.into()])
}

/// The value of a setting as it was written. It may be a secret, so it has no `Debug`.
#[derive(Clone)]
pub(super) enum Value {
    /// From the file: TOML gives it a type.
    Toml(toml::Value),
    /// From an environment variable or a default: the text of any type; commas separate the items of a list.
    Text(String),
}

impl Value {
    /// The text, or a fault that shows `example`.
    pub(super) fn text(&self, example: &str) -> Parsed<&str> {
        match self {
            Self::Text(text) | Self::Toml(toml::Value::String(text)) => Ok(text),
            Self::Toml(_) => wrong(format!("{self} is not text; write it in quotes, such as {example:?}")),
        }
    }

    /// The items of a list, or a fault that shows `example`.
    pub(super) fn items(&self, example: &str) -> Parsed<Vec<&str>> {
        let ask = || format!("write a list of texts, such as [{example:?}]");
        match self {
            Self::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
            Self::Text(text) => Ok(text.split(',').map(str::trim).collect()),
            Self::Toml(toml::Value::Array(items)) => {
                let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
                texts.ok_or_else(|| vec![format!("holds something that is not text; {}", ask())])
            }
            Self::Toml(toml::Value::String(text)) => {
                wrong(format!("{text:?} is not a list; write [{text:?}]"))
            }
            Self::Toml(_) => wrong(format!("{self} is not a list; {}", ask())),
        }
    }

    /// The items of a list that holds more than texts.
    pub(super) fn with_tables(&self) -> Option<&[toml::Value]> {
        match self {
            Self::Toml(toml::Value::Array(items)) if !items.iter().all(toml::Value::is_str) => Some(items),
            Self::Toml(_) | Self::Text(_) => None,
        }
    }

    /// The entries of a table, as name and text. A text may be a secret, so no fault shows one.
    pub(super) fn pairs(&self) -> Parsed<Vec<(&str, &str)>> {
        match self {
            Self::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
            Self::Text(text) => text
                .split(',')
                .map(|pair| pair.split_once('=').map(|(name, value)| (name.trim(), value.trim())))
                .collect::<Option<_>>()
                .ok_or_else(|| vec!["a part has no `=`; write Name=value,Other-Name=value".to_owned()]),
            Self::Toml(toml::Value::Table(table)) => table
                .iter()
                .map(|(name, value)| match value.as_str() {
                    Some(value) => Ok((name.as_str(), value)),
                    None => wrong(format!("the value of {name:?} is not text; write it in quotes")),
                })
                .collect(),
            Self::Toml(_) => wrong("is not a table; write { Name = \"value\" }"),
        }
    }
}

/// A value and the place where it was set.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) set_by: SetBy,
}

/// The place where a value was set: the file of this path, the environment variable of this name, or neither.
#[derive(Clone)]
pub(super) enum SetBy {
    Default,
    File(String),
    Variable(String),
}

/// The form of the value in the messages of faults.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Toml(toml::Value::String(text)) => write!(f, "{text:?}"),
            Self::Toml(toml::Value::Array(_)) => f.write_str("a list"),
            Self::Toml(toml::Value::Table(_)) => f.write_str("a table"),
            Self::Toml(
                plain @ (toml::Value::Integer(_)
                | toml::Value::Float(_)
                | toml::Value::Boolean(_)
                | toml::Value::Datetime(_)),
            ) => write!(f, "{plain}"),
        }
    }
}
