//! Owns the values on their way into [`Settings`](super::Settings): the sections take each setting by its
//! key, and a key that no section has taken is unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::spelling::nearest;
use super::value::{Given, Parsed, SetBy, Value};
use super::variable::{CONFIG_VARIABLE, variable_of};

/// The remedy in every fault about an API key in the wrong place.
pub(super) const KEY_CURE: &str =
    "put the key into the variable LEMONDATA_API_KEY, or into a file named by LEMONDATA_API_KEY_FILE";

/// All values as they were set, and the faults found so far.
pub(super) struct Reader {
    file: BTreeMap<String, Given>,
    variables: BTreeMap<String, Given>,
    /// The sections of the file, empty ones too: `file` shows only those with a setting.
    sections: Vec<(String, SetBy)>,
    known: Vec<&'static str>,
    /// Values that passed their own check, for the rules between settings.
    passed: BTreeMap<&'static str, Given>,
    faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn new(
        file: BTreeMap<String, Given>,
        sections: Vec<(String, SetBy)>,
        variables: BTreeMap<String, Given>,
    ) -> Self {
        Self { file, variables, sections, known: Vec::new(), passed: BTreeMap::new(), faults: Vec::new() }
    }

    /// Takes the value of `key` from its variable, else from the file, else `default`. `None`: it has faults.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        default: &str,
        parse: impl Fn(&Value) -> Parsed<T>,
    ) -> Option<T> {
        self.known.push(key);
        let (variable, file) = (self.variables.remove(key), self.file.remove(key));
        let given = variable
            .or(file)
            .unwrap_or_else(|| Given { value: Value::Text(default.to_owned()), set_by: SetBy::Default });
        match parse(&given.value) {
            Ok(value) => {
                self.passed.insert(key, given);
                Some(value)
            }
            Err(messages) => {
                let place = place(key, &given.set_by);
                self.faults.extend(messages.iter().map(|message| Fault::new(&place, message)));
                None
            }
        }
    }

    /// Parses a taken value once more; `None` if it was faulty: its fault is recorded already.
    pub(super) fn again<T>(&self, key: &str, parse: impl Fn(&Value) -> Parsed<T>) -> Option<T> {
        debug_assert!(self.known.contains(&key), "{key} is not taken yet");
        parse(&self.passed.get(key)?.value).ok()
    }

    /// Whether a taken value was set nowhere, or is faulty.
    pub(super) fn is_default(&self, key: &str) -> bool {
        self.passed.get(key).is_none_or(|given| matches!(given.set_by, SetBy::Default))
    }

    /// The keys whose value holds `secret`.
    pub(super) fn holding(&self, secret: &str) -> Vec<&'static str> {
        let holds = |value: &Value| match value {
            Value::Text(text) | Value::Toml(toml::Value::String(text)) => text.contains(secret),
            Value::Toml(other) => other.to_string().contains(secret),
        };
        self.passed.iter().filter(|(_, given)| holds(&given.value)).map(|(key, _)| *key).collect()
    }

    /// Records a fault of a setting that was taken.
    pub(super) fn fault(&mut self, key: &str, message: impl AsRef<str>) {
        let set_by = self.passed.get(key).map_or(&SetBy::Default, |given| &given.set_by);
        self.faults.push(Fault::new(place(key, set_by), message));
    }

    /// Records a fault at a place that is no setting, such as a variable of the API key.
    pub(super) fn fault_at(&mut self, place: &str, message: impl AsRef<str>) {
        self.faults.push(Fault::new(place, message));
    }

    /// The faults of the settings taken so far. The other values are neither checked nor unknown.
    pub(super) fn faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Every fault, those of unknown names last.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        let mut unknown: Vec<Fault> = Vec::new();
        for (section, set_by) in &self.sections {
            if !self.has_section(section) {
                unknown.push(Fault::new(place(section, set_by), self.about_section(section)));
            }
        }
        for (key, given) in &self.file {
            let message = match key.rsplit_once('.') {
                _ if names_the_key(key) => {
                    format!("the key must not stand in this file; delete it here and {KEY_CURE}")
                }
                // Its unknown section is one fault already.
                Some((section, _)) if !self.has_section(section) => continue,
                Some((section, name)) => self.about_key(section, name),
                None if self.has_section(key) => {
                    format!("is a section; write [{key}] and its settings below")
                }
                None => self.about_stray(key),
            };
            unknown.push(Fault::new(place(key, &given.set_by), message));
        }
        for given in self.variables.values() {
            if let SetBy::Variable(name) = &given.set_by {
                unknown.push(Fault::new(name, self.about_variable(name)));
            }
        }
        self.faults.append(&mut unknown);
        self.faults
    }

    fn sections(&self) -> BTreeSet<&'static str> {
        self.known.iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section).collect()
    }

    fn has_section(&self, section: &str) -> bool {
        self.sections().contains(section)
    }

    /// The names of a section's settings.
    fn names(&self, section: &str) -> Vec<&'static str> {
        let keys = self.known.iter().filter_map(|key| key.split_once('.'));
        keys.filter(|(of, _)| *of == section).map(|(_, name)| name).collect()
    }

    fn about_section(&self, section: &str) -> String {
        if let Some(near) = nearest(section, self.sections()) {
            format!("no such section; did you mean [{near}]?")
        } else {
            let all: Vec<_> = self.sections().iter().map(|name| format!("[{name}]")).collect();
            format!("no such section; there are {}", all.join(" "))
        }
    }

    fn about_key(&self, section: &str, name: &str) -> String {
        let names = self.names(section);
        if let Some(near) = nearest(name, names.iter().copied()) {
            return format!("no such setting; did you mean {section}.{near}?");
        }
        match self.same_name(name) {
            Some(key) => format!("no such setting; did you mean {key}?"),
            None => format!("no such setting; [{section}] has {}", names.join(", ")),
        }
    }

    fn about_stray(&self, name: &str) -> String {
        match self.same_name(name) {
            Some(key) => format!("stands outside of any section; did you mean {key}?"),
            None => "no such setting; every setting stands in a section, such as [server]".to_owned(),
        }
    }

    fn about_variable(&self, name: &str) -> String {
        if names_the_key(&name.to_lowercase()) {
            return format!("the key is not read from here; remove this variable and {KEY_CURE}");
        }
        let mut names: Vec<_> = self.known.iter().map(|key| variable_of(key)).collect();
        names.push(CONFIG_VARIABLE.to_owned());
        match nearest(&name.to_uppercase(), names.iter().map(String::as_str)) {
            Some(near) => format!("no such variable; did you mean {near}?"),
            None => "no such variable; they are named TASKGATE_SECTION__KEY, such as TASKGATE_SERVER__LISTEN"
                .to_owned(),
        }
    }

    /// A setting of this name in any section.
    fn same_name(&self, name: &str) -> Option<&'static str> {
        self.known.iter().copied().find(|key| key.split_once('.').is_some_and(|(_, of)| of == name))
    }
}

fn place(key: &str, set_by: &SetBy) -> String {
    match set_by {
        SetBy::Default => key.to_owned(),
        SetBy::File(source) | SetBy::Variable(source) => format!("{key} ({source})"),
    }
}

/// Whether the name looks like that of an API key: `api_key`, `key`, `ApiKey`, `lemondata-api-key`.
fn names_the_key(key: &str) -> bool {
    key.to_lowercase().ends_with("key")
}
