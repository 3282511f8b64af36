//! Owns values as they were written, before they are judged.

use std::fmt;

/// A judged value, or everything that is wrong with it.
pub(super) type Parsed<T> = Result<T, Vec<String>>;

/// One thing is wrong.
pub(super) fn wrong<T>(message: impl Into<String>) -> Parsed<T> {
    Err(vec![message.into()])
}

/// What was written. It has no `Debug`: it may be a secret.
#[derive(Clone)]
pub(super) enum Value {
    /// From the file, which knows types.
    Toml(toml::Value),
    /// From a variable or a built-in default: text that spells any type, lists by commas.
    Text(String),
}

impl Value {
    /// The text, or a word on how to write some; `example` is shown there.
    pub(super) fn text(&self, example: &str) -> Parsed<&str> {
        match self {
            Self::Text(text) | Self::Toml(toml::Value::String(text)) => Ok(text),
            Self::Toml(_) => wrong(format!("{self} is not text; write it in quotes, such as {example:?}")),
        }
    }

    /// The parts of a list.
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

    /// Names with a text each. Their texts may be secrets, so none is ever shown.
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

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) set_by: SetBy,
}

/// Where a value was written.
#[derive(Clone)]
pub(super) enum SetBy {
    Default,
    File(String),
    Variable(String),
}

/// How a fault shows the value.
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
