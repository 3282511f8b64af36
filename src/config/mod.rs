//! Owns the settings: a raw shape as the user wrote it, checked into [`Settings`], every fault at once.

mod secret;
mod settings;

pub use secret::ApiKey;
pub use settings::*;
