//! Owns the ids by which answers name their task: those that an answer claims, and those that a task has confirmed.
//!
//! The path of a task holds one id; an API may name the task in its answers by others (`id`, `task_id`). An answer
//! that names only other ids may be that of another task: HTTP/1.1 assigns answers to requests by their order alone.

use super::sha256;

/// The names that are kept of one task at most: two ids, and two of an earlier form.
const MOST: usize = 4;

/// The ids of an answer, none of which is the path's. At least one, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignIds(Vec<Box<str>>);

impl ForeignIds {
    /// The ids that an answer claims for the task of `path_id`. `None` if it claims none, or that one.
    pub fn new<I: AsRef<str>>(path_id: &str, claimed: impl IntoIterator<Item = I>) -> Option<Self> {
        let mut ids: Vec<Box<str>> = Vec::new();
        for id in claimed {
            match id.as_ref() {
                "" => {}
                id if id == path_id => return None,
                id => ids.push(id.into()),
            }
        }
        ids.sort_unstable();
        ids.dedup();
        (!ids.is_empty()).then_some(Self(ids))
    }

    /// The ids that are not among the confirmed ones.
    pub fn beside<'s>(&'s self, aliases: &'s Aliases) -> impl Iterator<Item = &'s str> {
        self.0.iter().map(|id| &**id).filter(|id| !aliases.0.contains(&Fingerprint::of(id)))
    }
}

/// 128 bits of SHA-256: of an id of any length, in little memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 16]);

impl Fingerprint {
    fn of(id: &str) -> Self {
        let mut print = [0; 16];
        print.copy_from_slice(&sha256::hash(id.as_bytes())[..16]);
        Self(print)
    }
}

/// Further names of one task, at most [`MOST`]; of most tasks none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(Box<[Fingerprint]>);

impl Aliases {
    /// These names and the newly confirmed ones. If they are too many, the oldest are dropped.
    #[must_use]
    pub fn with(&self, confirmed: &ForeignIds) -> Self {
        let new = confirmed.beside(self).map(Fingerprint::of);
        let all: Vec<Fingerprint> = self.0.iter().copied().chain(new).collect();
        Self(all[all.len().saturating_sub(MOST)..].into())
    }

    /// Whether these are exactly the ids of an answer.
    pub fn are(&self, ids: &ForeignIds) -> bool {
        self.0.len() == ids.0.len() && ids.beside(self).next().is_none()
    }

    /// The memory that they take, in bytes.
    pub fn size(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl From<&ForeignIds> for Aliases {
    fn from(ids: &ForeignIds) -> Self {
        Self::default().with(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(claimed: &[&str]) -> ForeignIds {
        ForeignIds::new("path", claimed).unwrap()
    }

    #[test]
    fn the_paths_id_under_either_name_makes_an_answer_the_tasks_own() {
        for own in [&["path"][..], &["path", "other"], &["other", "path"], &[], &[""]] {
            assert_eq!(ForeignIds::new("path", own), None, "{own:?}");
        }
        assert_eq!(foreign(&["b", "a"]), foreign(&["a", "b"]), "two names, whichever comes first");
        assert_eq!(foreign(&["a", "a"]), foreign(&["a"]));
        assert_eq!(foreign(&["a", ""]), foreign(&["a"]));
        assert_ne!(foreign(&["Path"]), foreign(&["path "]));
    }

    #[test]
    fn every_id_of_an_answer_has_to_be_confirmed() {
        let aliases = Aliases::from(&foreign(&["a", "b"]));
        let unconfirmed = |claimed: &[&str]| foreign(claimed).beside(&aliases).count();
        assert_eq!((unconfirmed(&["a"]), unconfirmed(&["b", "a"])), (0, 0));
        assert_eq!(
            (unconfirmed(&["a", "c"]), unconfirmed(&["c", "d"])),
            (1, 2),
            "a shared id proves nothing"
        );
        assert!(aliases.are(&foreign(&["b", "a"])));
        assert!(!aliases.are(&foreign(&["a"])) && !aliases.are(&foreign(&["a", "c"])));
    }

    #[test]
    fn the_aliases_of_a_task_are_bounded_and_the_latest_are_kept() {
        let mut aliases = Aliases::default();
        for number in 0..100 {
            aliases = aliases.with(&foreign(&[&format!("{number}"), &"x".repeat(100_000)]));
        }
        assert_eq!(aliases.size(), MOST * 16);
        assert_eq!(foreign(&["99"]).beside(&aliases).count(), 0);
        assert_eq!(foreign(&["5"]).beside(&aliases).count(), 1);
    }
}
