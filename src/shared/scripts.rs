//! Owns the scripts that run in Redis. Each is sent once, and then named by its hash.

use redis::Script;

/// All scripts. Each begins with the part that reads the time and keeps the budget.
pub(super) struct Scripts {
    pub(super) begin: Script,
    pub(super) renew: Script,
    pub(super) land: Script,
    pub(super) forget: Script,
    pub(super) look: Script,
    pub(super) read: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |text: &str| Script::new(&[include_str!("scripts/budget.lua"), text].concat());
        Self {
            begin: script(include_str!("scripts/begin.lua")),
            renew: script(include_str!("scripts/renew.lua")),
            land: script(include_str!("scripts/land.lua")),
            forget: script(include_str!("scripts/forget.lua")),
            look: script(include_str!("scripts/look.lua")),
            read: script(include_str!("scripts/read.lua")),
        }
    }
}
