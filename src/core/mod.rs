//! Owns what taskgate is about: tasks, what is known of them, and when to ask again.

pub mod task;
