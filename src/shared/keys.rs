//! Owns the names in Redis, and the key of the codes. Both follow from the namespace and from the upstream's address and
//! API key: stacks with other keys share nothing, and only who has the API key can write a state that is believed.

use crate::core::hex;
use crate::core::hmac::Key;
use crate::core::sha256;
use crate::core::task::TaskKey;

/// The channels of the news. A replica listens to all of them.
pub(super) const CHANNELS: u8 = 16;

/// The names of one namespace, and its key.
pub(super) struct Names {
    /// The beginning of all names: their hash tag, so that a script finds all its keys on one node.
    tag: String,
    /// Signs the states.
    pub(super) key: Key,
}

impl Names {
    pub(super) fn new(namespace: &str, base_url: &str, api_key: &str) -> Self {
        let root = Key::new(api_key.as_bytes());
        let derived =
            |purpose: &str| root.sign(format!("taskgate shared 1 {purpose}\n{base_url}").as_bytes());
        let print = hex::encode(&derived("name")[..8]);
        Self { tag: format!("{{taskgate:{namespace}:{print}}}"), key: Key::new(&derived("states")) }
    }

    pub(super) fn budget(&self) -> String {
        format!("{}:budget", self.tag)
    }

    pub(super) fn turns(&self) -> String {
        format!("{}:turns", self.tag)
    }

    pub(super) fn replicas(&self) -> String {
        format!("{}:replicas", self.tag)
    }

    pub(super) fn task(&self, key: &TaskKey) -> String {
        self.task_prefix() + key.path()
    }

    pub(super) fn task_prefix(&self) -> String {
        format!("{}:task:", self.tag)
    }

    pub(super) fn lease(&self, key: &TaskKey) -> String {
        format!("{}:lease:{}", self.tag, key.path())
    }

    /// The latest news of a channel.
    pub(super) fn news(&self, channel: u8) -> String {
        format!("{}:news:{channel}", self.tag)
    }

    pub(super) fn channel(&self, channel: u8) -> String {
        format!("{}:channel:{channel}", self.tag)
    }
}

/// The channel of a task: the same on all replicas.
pub(super) fn channel_of(key: &TaskKey) -> u8 {
    sha256::hash(key.path().as_bytes())[0] % CHANNELS
}
