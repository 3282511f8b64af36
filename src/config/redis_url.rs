//! Owns the address of Redis, which may hold a password: it can be used but not printed.

use std::fmt;
use std::path::Path;

use url::Url;

use super::reader::Reader;
use super::sources::{read_file, why};
use super::value::{Parsed, Value, wrong};

/// The setting that holds the address.
pub(super) const URL: &str = "shared.redis_url";
/// The setting that names a file with the address.
pub(super) const FILE: &str = "shared.redis_url_file";
/// In bytes: far longer than any address.
const LONGEST: u64 = 4096;
const CURE: &str =
    "write one such as \"redis://127.0.0.1:6379\", \"rediss://USER:PASSWORD@HOST:6380\" or \"\" for none";

/// The address of Redis, with user and password. `Display` and `Debug` show `***` in the place of the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(Url);

impl RedisUrl {
    /// The whole address, for the connection alone.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
            return f.write_str("***");
        }
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of `shared.redis_url`; the empty text is none. A fault shows nothing of it.
pub(super) fn redis_url(value: &Value) -> Parsed<Option<RedisUrl>> {
    let Ok(text) = value.text("") else { return wrong(format!("is not text; {CURE}")) };
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).or_else(wrong)
}

/// The address in the file of `shared.redis_url_file`, on one line. `None`: its fault is in `reader`.
pub(super) fn from_file(reader: &mut Reader, file: &Path) -> Option<RedisUrl> {
    let read = read_file(file, LONGEST)
        .map_err(|error| {
            format!(
                "the file of Redis' address cannot be read: {}; name one that the gateway may read",
                why(&error)
            )
        })
        .and_then(|text| {
            text.ok_or_else(|| "the file holds more than an address; is it the right one?".to_owned())
        });
    let found = read.and_then(|text| {
        parse(text.trim_end_matches(['\r', '\n'])).map_err(|fault| format!("the address in the file {fault}"))
    });
    found.map_err(|fault| reader.fault(FILE, fault)).ok()
}

fn parse(text: &str) -> Result<RedisUrl, String> {
    let Ok(url) = Url::parse(text) else { return Err(format!("cannot be read as a URL; {CURE}")) };
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err(format!("does not begin with redis:// or rediss:// (TLS); {CURE}"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("names no host; {CURE}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("holds a query or a fragment; delete the ? or # and what follows".to_owned());
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err(
            "ends in what is no number of a database; write one such as /0, or nothing, behind the host"
                .to_owned(),
        );
    }
    Ok(RedisUrl(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_user_password_database_and_tls_are_taken_and_shown_without_the_password() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://localhost/3", "redis://localhost/3"),
            ("rediss://:hunter2@cache.example.com:6380/0", "rediss://:***@cache.example.com:6380/0"),
            ("redis://me:hunter2@[::1]", "redis://me:***@[::1]"),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(
                (url.expose(), url.to_string(), format!("{url:?}")),
                (text, shown.to_owned(), shown.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_shown() {
        for text in [
            "hunter2",
            "http://:hunter2@a",
            "redis://",
            "redis://a/hunter2",
            "redis://a?hunter2=1",
            "rediss://a/#hunter2",
        ] {
            let fault = parse(text).unwrap_err();
            assert!(!fault.contains("hunter2") && fault.contains(['w', 'd']), "{text}: {fault}");
        }
    }
}
