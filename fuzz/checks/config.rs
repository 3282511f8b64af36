//! Checks any text as a settings file: it is read, or each fault has a place and a message, on one line and
//! without the key. Settings that were read can be printed and read again.

use taskgate::config::{self, Settings, Sources};

/// A key without the prefix `sk-`, by which every key is masked.
const KEY: &str = "LocalOnlyKey0123456789";

/// `data` is the text of the file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(settings) = load(text) else { return };
    let printed = config::render(&settings);
    assert!(!printed.contains(KEY), "the key is printed");
    let again = load(&printed).unwrap_or_else(|| panic!("what is printed cannot be read:\n{printed}"));
    assert_eq!(format!("{settings:?}"), format!("{again:?}"));
    assert_eq!(printed, config::render(&again));
}

fn load(text: &str) -> Option<Settings> {
    let variables = [("LEMONDATA_API_KEY", KEY), ("TASKGATE_ACCESS__MODE", "open")];
    let env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let faults = match config::load(&Sources { file: Some(("config.toml".into(), text.to_owned())), env }) {
        Ok(settings) => return Some(settings),
        Err(faults) => faults,
    };
    assert!(faults.iter().next().is_some(), "refused without a fault");
    for fault in faults.iter() {
        let (place, message) = (fault.place(), fault.message());
        assert!(!place.trim().is_empty() && !message.trim().is_empty(), "{fault:?} says too little");
        assert!(!fault.to_string().contains(char::is_control), "{fault:?} is more than a line");
        assert!(!fault.to_string().contains(KEY), "{fault:?} shows the key");
    }
    None
}
