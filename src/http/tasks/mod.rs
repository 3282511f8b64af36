//! Owns the handlers for clients: one task in three read modes, many tasks at once, and cancellation.

mod cancel;
mod events;
pub(in crate::http) mod list;
mod read_mode;
pub(in crate::http) mod status;
mod stream;
