//! Owns the settings: values as they were written, checked into [`Settings`], with all faults at once.
//!
//! The file overrides the defaults, and environment variables override the file. The way of a value:
//! [`Sources`] → `reader` (the value that overrides the others, and its place) → `sections` (check and
//! default of each setting) → `rules` (checks between settings) → [`Settings`].

mod credentials;
mod fault;
mod key;
mod network;
mod reader;
mod redis_url;
mod render;
mod routes;
mod rules;
mod secret;
mod sections;
mod settings;
mod sources;
mod spelling;
mod target;
#[cfg(test)]
mod tests;
mod units;
mod value;
mod variable;

pub use fault::{Fault, Faults};
pub use key::read_key_file;
pub use redis_url::RedisUrl;
pub use render::{changes, render};
pub use secret::ApiKey;
pub use settings::*;
pub use sources::Sources;

use std::net::SocketAddr;

use crate::core::ticket::Keyring;
use reader::Reader;

/// The occasion on which settings are read: the start, or a reload of a running gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Start,
    AtWork,
}

/// Checks all settings, the API key included. The only files it reads are those of the key, the tokens and
/// the ticket secrets, if they are named.
///
/// Tests and other embedded uses may leave out the file and pass made-up variables. The only ones without a
/// usable default are `LEMONDATA_API_KEY`, and `TASKGATE_ACCESS__MODE=open` or a token file.
///
/// # Errors
/// All faults at once. If the file is not TOML, that is the only one.
pub fn load(sources: &Sources) -> Result<Settings, Faults> {
    load_on(sources, Occasion::Start)
}

/// As [`load`], for a running gateway: here an emptied token file is no fault, but withdraws every token.
///
/// # Errors
/// As [`load`].
pub fn load_again(sources: &Sources) -> Result<Settings, Faults> {
    load_on(sources, Occasion::AtWork)
}

fn load_on(sources: &Sources, occasion: Occasion) -> Result<Settings, Faults> {
    let mut reader = sources.reader().map_err(|faults| veil(sources, None, faults))?;
    let mut key = None;
    let settings = read(sources, &mut reader, &mut key, occasion);
    match (Faults::all(reader.finish()), settings) {
        (Ok(()), Some(settings)) => Ok(settings),
        (Err(faults), _) => Err(veil(sources, key.as_ref(), faults)),
        // Never so: a section is `None` only if one of its settings has a fault.
        (Ok(()), None) => {
            Err(Faults::one(Fault::new("settings", "incomplete; this is a mistake in taskgate")))
        }
    }
}

/// The addresses of the main listener and of the admin listener, for `taskgate healthcheck`.
///
/// # Errors
/// The faults of these two settings. Other settings are not checked, and no other file is read.
pub fn listeners(sources: &Sources) -> Result<(SocketAddr, Option<SocketAddr>), Faults> {
    part(sources, sections::listeners)?
        .ok_or_else(|| Faults::one(Fault::new("settings", "incomplete; this is a mistake in taskgate")))
}

/// The ticket secrets alone, for `taskgate ticket`, which must work without the API key.
///
/// # Errors
/// The faults of the secret file. Other settings are not checked.
pub fn ticket_secrets(sources: &Sources) -> Result<Keyring, Faults> {
    Ok(part(sources, sections::ticket_secrets)?.unwrap_or_default())
}

/// The settings that `take` takes, or their faults; all others are ignored.
fn part<T>(sources: &Sources, take: impl FnOnce(&mut Reader) -> Option<T>) -> Result<Option<T>, Faults> {
    let veiled = |faults| veil(sources, None, faults);
    let mut reader = sources.reader().map_err(veiled)?;
    let found = take(&mut reader);
    Faults::all(reader.faults()).map_err(veiled)?;
    Ok(found)
}

fn read(
    sources: &Sources,
    reader: &mut Reader,
    found: &mut Option<ApiKey>,
    occasion: Occasion,
) -> Option<Settings> {
    let server = sections::server(reader);
    let admin = sections::admin(reader);
    let upstream = sections::upstream(reader, |reader, setting| {
        let key = key::find(sources, setting, reader)?;
        *found = Some(key.0.clone());
        Some(key)
    });
    let budget = sections::budget(reader);
    let cache = sections::cache(reader);
    let content = sections::content(reader);
    let polling = sections::polling(reader);
    let access = sections::access(reader);
    let shared = sections::shared(reader);
    let limits = sections::limits(reader);
    let log = sections::log(reader);
    if occasion == Occasion::Start
        && let Some(access) = &access
    {
        rules::somebody_gets_in(reader, access);
    }
    rules::check(reader, found.as_ref());
    Some(Settings {
        server: server?,
        admin: admin?,
        upstream: upstream?,
        budget: budget?,
        cache: cache?,
        content: content?,
        polling: polling?,
        access: access?,
        shared: shared?,
        limits: limits?,
        log: log?,
    })
}

/// Masks the API key in the faults: a key pasted in the wrong place would be shown there as a wrong value.
fn veil(sources: &Sources, found: Option<&ApiKey>, faults: Faults) -> Faults {
    let faults = key::given(sources).fold(faults, Faults::hide);
    match found {
        Some(key) => faults.hide(key.expose()),
        None => faults,
    }
}
