//! Owns the sources of the settings: the file and the environment variables, laid out as values by key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::fault::{Fault, Faults};
use super::reader::Reader;
use super::value::{Given, SetBy, Value};
use super::variable::{CONFIG_VARIABLE, PREFIX, key_of};

/// The settings file if none is named; it may be absent.
const CONFIG_FILE: &str = "config.toml";
/// In bytes: far more than all settings take, far less than a file named by mistake.
const LARGEST: u64 = 1 << 20;
const KEY_PREFIX: &str = "LEMONDATA_";

/// The settings file and the environment variables. They may hold the API key, so there is no `Debug`.
#[derive(Clone, Default)]
pub struct Sources {
    /// The path of the settings file, as faults show it, and its text.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables. Only those that begin with `TASKGATE_` or `LEMONDATA_` count.
    pub env: Vec<(String, String)>,
}

impl Sources {
    /// Finds and reads the settings file: the path in `flag`, else the path in `TASKGATE_CONFIG`, else
    /// `config.toml`, which may be absent. Relative paths start at `dir`, the working directory.
    ///
    /// # Errors
    /// The file cannot be read, or a variable of taskgate is not UTF-8.
    pub fn gather(
        flag: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        dir: &Path,
    ) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut ours = Vec::new();
        for (name, value) in env {
            let Ok(name) = name.into_string() else { continue };
            if !name.starts_with(PREFIX) && !name.starts_with(KEY_PREFIX) {
                continue;
            }
            match value.into_string() {
                Ok(value) => ours.push((name, value)),
                Err(_) => faults.push(Fault::new(name, "is not valid UTF-8; write it anew")),
            }
        }
        let named = ours.iter().find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty());
        let (path, origin) = match (flag, named) {
            (Some(flag), _) => (flag, Some("--config")),
            (None, Some((_, value))) => (Path::new(value), Some(CONFIG_VARIABLE)),
            (None, None) => (Path::new(CONFIG_FILE), None),
        };
        let file = match read_file(&dir.join(path), LARGEST) {
            Ok(Some(text)) => Some((path.to_owned(), text)),
            Ok(None) => {
                let place = path.display().to_string();
                faults.push(Fault::new(place, "the file is larger than 1MiB; name the file of settings"));
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && origin.is_none() => None,
            Err(error) => {
                let place = origin.map_or(CONFIG_FILE.to_owned(), |by| format!("{by} ({})", path.display()));
                let cure = match error.kind() {
                    io::ErrorKind::NotFound => "correct the name, or create it",
                    io::ErrorKind::IsADirectory => "name a file, or remove it",
                    io::ErrorKind::InvalidData => "write it anew",
                    _ => "let this user read it",
                };
                faults.push(Fault::new(place, format!("the file cannot be read: {}; {cure}", why(&error))));
                None
            }
        };
        Faults::all(faults)?;
        Ok(Self { file, env: ours })
    }

    /// The value of one variable. An empty one counts as not set: Compose passes on many unset variables so.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().find(|(of, _)| of == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    /// A [`Reader`] with all values, by key.
    ///
    /// # Errors
    /// The file is not TOML. It is the only fault then: without the file's values no check means anything.
    pub(super) fn reader(&self) -> Result<Reader, Faults> {
        let (mut values, mut sections) = (BTreeMap::new(), Vec::new());
        if let Some((path, text)) = &self.file {
            let name = path.display().to_string();
            let table: toml::Table =
                text.parse().map_err(|error| Faults::one(syntax_fault(&name, text, &error)))?;
            let set_by = SetBy::File(name);
            for (section, content) in table {
                let toml::Value::Table(content) = content else {
                    let value = Value::Toml(content);
                    values.insert(section, Given { value, set_by: set_by.clone() });
                    continue;
                };
                for (name, value) in content {
                    let given = Given { value: Value::Toml(value), set_by: set_by.clone() };
                    values.insert(format!("{section}.{name}"), given);
                }
                sections.push((section, set_by.clone()));
            }
        }
        let ours = self.env.iter().filter(|(name, _)| name.starts_with(PREFIX) && name != CONFIG_VARIABLE);
        let variables = ours.map(|(name, value)| {
            let given = Given { value: Value::Text(value.clone()), set_by: SetBy::Variable(name.clone()) };
            (key_of(name), given)
        });
        Ok(Reader::new(values, sections, variables.collect()))
    }
}

/// A fault with line, column and the parser's message, without the line itself, which may hold a secret.
fn syntax_fault(name: &str, text: &str, error: &toml::de::Error) -> Fault {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    // The parser appends this suffix when it expects nothing in particular.
    let words = error.message().trim_end_matches(", expected nothing");
    Fault::new(format!("{name}:{line}:{column}"), format!("not valid TOML: {words}"))
}

/// The text of a regular file of at most `largest` bytes; `None` if it is larger. A pipe is refused: reading
/// one may block, and works only once.
pub(super) fn read_file(path: &Path, largest: u64) -> io::Result<Option<String>> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(largest + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= largest).then_some(text))
}

/// The reason of an I/O error, without the error number that std appends.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}
