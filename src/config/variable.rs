//! Owns the names of environment variables: each setting has one.

/// Begins every variable of a setting.
pub(super) const PREFIX: &str = "TASKGATE_";
/// Names the file of settings.
pub(super) const CONFIG_VARIABLE: &str = "TASKGATE_CONFIG";

/// `server.listen` → `TASKGATE_SERVER__LISTEN`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The way back. A name in any other spelling yields itself, which is no key.
pub(super) fn key_of(variable: &str) -> String {
    let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
    let key = name.replacen("__", ".", 1).to_lowercase();
    if variable_of(&key) == variable { key } else { variable.to_owned() }
}
