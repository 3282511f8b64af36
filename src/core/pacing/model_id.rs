//! Owns the identity of a model: its route and its name, cut.

use std::hash::{BuildHasher as _, RandomState};

/// The longest name that is kept, in bytes; others are cut.
pub const MOST_NAME: usize = 64;

/// A model of a route, by a hash that is random for each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ModelId(u64);

/// Gives models their ids.
#[derive(Debug, Default)]
pub(super) struct Names(RandomState);

impl Names {
    /// The id of a model, and its name as it is kept.
    pub(super) fn id<'n>(&self, route: usize, name: &'n str) -> (ModelId, &'n str) {
        let name = cut(name);
        (ModelId(self.0.hash_one((route, name))), name)
    }
}

/// The first [`MOST_NAME`] bytes of a name, whole characters only.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(MOST_NAME)).rev().find(|end| name.is_char_boundary(*end));
    end.and_then(|end| name.get(..end)).unwrap_or_default()
}
