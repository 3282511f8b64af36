//! Owns the lookup of the API key, in one environment variable or one file. No fault shows a key or a path: a
//! path may be a key put in the wrong place.

use std::path::{Path, PathBuf};

use super::reader::{KEY_CURE, Reader};
use super::secret::ApiKey;
use super::sources::{Sources, read_file, why};

const VARIABLE: &str = "LEMONDATA_API_KEY";
const FILE_VARIABLE: &str = "LEMONDATA_API_KEY_FILE";
/// `upstream.api_key_file`, the setting.
pub(super) const FILE_SETTING: &str = "upstream.api_key_file";
/// In bytes. Upstream answers are searched for the key: a shorter one would also match harmless text.
const SHORTEST: usize = 8;
/// In bytes: far longer than any key, far shorter than a file named by mistake.
const LONGEST: usize = 4096;

/// The key, and the key file if one is named. `setting` is the value of `upstream.api_key_file`. `None`: the
/// faults are in `reader`.
pub(super) fn find(
    sources: &Sources,
    setting: Option<PathBuf>,
    reader: &mut Reader,
) -> Option<(ApiKey, Option<PathBuf>)> {
    let text = sources.variable(VARIABLE);
    let named = sources.variable(FILE_VARIABLE).map(PathBuf::from);
    // Both may name the same file: `taskgate check` prints the variable's file as the setting.
    let one_file = named.is_none() || setting.is_none() || named == setting;
    match (text, named.is_some() || setting.is_some()) {
        (Some(_), true) => {
            let by = if named.is_some() { FILE_VARIABLE } else { FILE_SETTING };
            reader
                .fault_at(VARIABLE, format!("the key comes from here and from {by}; remove one of the two"));
            None
        }
        (Some(text), false) => match judge(text) {
            Ok(key) => Some((key, None)),
            Err(fault) => {
                reader.fault_at(VARIABLE, format!("{fault}; set it to the key alone"));
                None
            }
        },
        (None, true) if !one_file => {
            reader.fault_at(
                FILE_VARIABLE,
                format!("names another file than {FILE_SETTING}; remove one of the two"),
            );
            None
        }
        (None, true) => {
            let by_variable = named.is_some();
            let path = named.or(setting)?;
            match read_key_file(&path) {
                Ok(key) => Some((key, Some(path))),
                Err(fault) if by_variable => {
                    reader.fault_at(FILE_VARIABLE, fault);
                    None
                }
                Err(fault) => {
                    reader.fault(FILE_SETTING, fault);
                    None
                }
            }
        }
        (None, false) => {
            reader.fault_at(
                VARIABLE,
                format!(
                    "there is no API key; {KEY_CURE}; to try taskgate without a key, run `taskgate demo`"
                ),
            );
            None
        }
    }
}

/// Reads a key file, which holds the key on one line. A reload reads it again.
///
/// # Errors
/// The fault of the file and its remedy, without any part of its content.
pub fn read_key_file(path: &Path) -> Result<ApiKey, String> {
    // Room for CR and LF at the end of the line.
    let text = read_file(path, LONGEST as u64 + 2).map_err(|error| {
        format!("the key file cannot be read: {}; name a file that holds the key alone", why(&error))
    })?;
    let text = text.ok_or("the key file holds more than any key is long; put the key alone into it")?;
    judge(text.trim_end_matches(['\r', '\n']))
        .map_err(|fault| format!("the key file {fault}; put the key alone into it"))
}

fn judge(text: &str) -> Result<ApiKey, &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.len() < SHORTEST {
        return Err("is shorter than any key");
    }
    if text.len() > LONGEST {
        return Err("holds more than any key is long");
    }
    if is_assignment(text) {
        return Err("holds the name of a variable and = before the key");
    }
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err("holds quotes around the key");
    }
    if text.contains(char::is_whitespace) {
        return Err("holds blanks or line breaks");
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("holds characters that no key has");
    }
    Ok(ApiKey::new(text))
}

/// Whether a text is a line of an environment file, such as `LEMONDATA_API_KEY=sk-…`, and no key that ends in `=`.
fn is_assignment(text: &str) -> bool {
    text.trim_start().trim_start_matches("export ").split_once('=').is_some_and(|(name, value)| {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_telling = ["KEY", "TOKEN", "SECRET"].iter().any(|word| name.to_uppercase().ends_with(word));
        is_name && (is_telling || value.trim_start_matches(['"', '\'']).starts_with("sk-"))
    })
}

/// The values of the key's variables, valid or not: none of them may be printed.
pub(super) fn given(sources: &Sources) -> impl Iterator<Item = &str> {
    [VARIABLE, FILE_VARIABLE].into_iter().filter_map(|name| sources.variable(name))
}
