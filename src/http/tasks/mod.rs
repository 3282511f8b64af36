//! Owns the handlers for clients: one task in three read modes, many tasks at once, cancellation, contents, and the
//! module for pages.

mod cancel;
pub(in crate::http) mod content;
mod events;
pub(in crate::http) mod list;
pub(in crate::http) mod module;
mod read_mode;
pub(in crate::http) mod status;
mod stream;
