//! Owns the settings: values as the user wrote them, checked into [`Settings`], every fault at once.
//!
//! Built-in defaults give way to the file, and the file to the environment. The way of a value:
//! [`Sources`] → `reader` (the strongest one, and where it stands) → `sections` (its check and default) →
//! `rules` (does it go with the others?) → [`Settings`].

mod credentials;
mod fault;
mod key;
mod network;
mod reader;
mod render;
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
pub use render::{changes, render};
pub use secret::ApiKey;
pub use settings::*;
pub use sources::Sources;

use std::net::SocketAddr;

use crate::core::ticket::Keyring;
use reader::Reader;

/// When settings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    Start,
    AtWork,
}

/// Checks everything, the API key included. Reads nothing but the files of the key, the tokens and the
/// secrets, where they are named.
///
/// For embedded use, as in tests, the file may be left out and variables made up: only what differs from
/// the defaults need be there (`LEMONDATA_API_KEY`, and `TASKGATE_ACCESS__MODE=open` or a token file).
///
/// # Errors
/// All that is wrong; a file that is not TOML alone, as nothing can be said of what it would have held.
pub fn load(sources: &Sources) -> Result<Settings, Faults> {
    load_on(sources, Occasion::Start)
}

/// The same for a gateway at work: a token file that was emptied takes everybody's right away, as it says.
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
        // A value without a fault is never missing.
        (Ok(()), None) => {
            Err(Faults::one(Fault::new("settings", "incomplete; this is a mistake in taskgate")))
        }
    }
}

/// Where the gateway listens, for whoever asks how it is: the main listener, and that of operators.
///
/// # Errors
/// What is wrong with these two; other settings are not judged, and no file but that of settings is read.
pub fn listeners(sources: &Sources) -> Result<(SocketAddr, Option<SocketAddr>), Faults> {
    part(sources, sections::listeners)?
        .ok_or_else(|| Faults::one(Fault::new("settings", "incomplete; this is a mistake in taskgate")))
}

/// The secrets that sign tickets alone: for whoever makes one, and need not hold the API key.
///
/// # Errors
/// What is wrong with them; other settings are not judged.
pub fn ticket_secrets(sources: &Sources) -> Result<Keyring, Faults> {
    Ok(part(sources, sections::ticket_secrets)?.unwrap_or_default())
}

/// What can be read without the rest, and the faults of that alone.
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
    let polling = sections::polling(reader);
    let access = sections::access(reader);
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
        polling: polling?,
        access: access?,
        limits: limits?,
        log: log?,
    })
}

/// A key pasted in the wrong place may be echoed as a wrong value there: masked, whatever it looks like.
fn veil(sources: &Sources, found: Option<&ApiKey>, faults: Faults) -> Faults {
    let faults = key::given(sources).fold(faults, Faults::hide);
    match found {
        Some(key) => faults.hide(key.expose()),
        None => faults,
    }
}
