//! Owns the places of a listener's connections, and the bytes of answers that are being written: whose they are, and
//! who gives way when they are short.
//!
//! - [`table`] is the bookkeeping, under one lock; [`unread`] its part for bytes.
//! - [`leave`] tells a connection that it has to give way.
//! - [`place`] is the handle of one connection.

mod leave;
mod place;
mod table;
#[cfg(test)]
mod tests;
mod unread;

pub use self::leave::Manner;
pub use self::place::{Full, Place, Places, Waiting};
