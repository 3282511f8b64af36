//! Owns what clients read: one task in three ways, many tasks at once, and the cancelling of a task.

mod cancel;
mod events;
pub(in crate::http) mod list;
mod read_mode;
pub(in crate::http) mod status;
mod stream;
