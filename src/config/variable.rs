//! Owns the names of the environment variables: one for each setting.

/// Every variable of a setting begins with this.
pub(super) const PREFIX: &str = "TASKGATE_";
/// Its value is the path of the settings file.
pub(super) const CONFIG_VARIABLE: &str = "TASKGATE_CONFIG";

/// `server.listen` → `TASKGATE_SERVER__LISTEN`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The inverse of [`variable_of`]. A name that it never returns comes back unchanged, and is no key.
pub(super) fn key_of(variable: &str) -> String {
    let name = variable.strip_prefix(PREFIX).unwrap_or(variable);
    let key = name.replacen("__", ".", 1).to_lowercase();
    if variable_of(&key) == variable { key } else { variable.to_owned() }
}
