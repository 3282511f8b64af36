//! Owns whether the upstream's answers can be used: told to operators by `/readyz`, the dashboard and the log, since
//! clients only see a 502.
//!
//! From the start until the first answer that can be used, one answer is enough for a doubt. Later, three tasks in a
//! row are: one task alone may have an odd answer.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::unusable::{Reason, Unusable};
use crate::core::cause;
use crate::core::task::TaskKey;

/// The number of tasks in a row whose answers cannot be used.
const TASKS: usize = 3;
/// The time between two log lines of the same reason …
const REMINDER: Duration = Duration::from_secs(60);
/// … in which there are at most so many of others: the upstream chooses the words.
const MOST_LINES: usize = 5;

/// Whether answers can be used, and why not.
#[derive(Debug, Default)]
pub struct Usability(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    /// An answer was usable since the start.
    was_usable: bool,
    /// A status was seen since the start.
    had_status: bool,
    /// The tasks, since the last usable answer, whose answers were not.
    in_a_row: Vec<TaskKey>,
    /// Why answers cannot be used, as long as none is.
    standing: Option<Unusable>,
    /// That reason was logged.
    is_told: bool,
    /// The reasons that were logged lately, with their times.
    told: Vec<(Unusable, Instant)>,
}

impl Usability {
    /// Why answers cannot be used, with the cure. `None` if they can.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().standing.as_ref().map(Unusable::to_string)
    }

    /// An answer was used.
    pub(super) fn usable(&self) {
        let was_told = self.0.lock().clear();
        tell_end(was_told);
    }

    /// An answer came that tells nothing of its use: a doubt whether there are any has ended.
    pub(super) fn answered(&self) {
        let was_told = {
            let mut record = self.0.lock();
            let was_absent =
                record.standing.as_ref().is_some_and(|standing| standing.reason() == Reason::NoAnswer);
            was_absent && record.end()
        };
        tell_end(was_told);
    }

    /// An answer was used, and held a status or none where one was expected.
    pub(super) fn usable_with(&self, task: &TaskKey, has_status: bool) {
        {
            let mut record = self.0.lock();
            record.had_status |= has_status;
            if record.had_status {
                let was_told = record.clear();
                drop(record);
                return tell_end(was_told);
            }
        }
        self.unusable(task, Reason::NoStatus.into());
    }

    /// An answer for this task could not be used.
    pub(super) fn unusable(&self, task: &TaskKey, reason: Unusable) {
        let is_news = self.0.lock().add(task, &reason, Instant::now());
        if is_news {
            cause::log(|| tracing::warn!(%task, "{reason}"));
        } else {
            cause::log(|| tracing::debug!(%task, "{reason}"));
        }
    }
}

fn tell_end(was_told: bool) {
    if was_told {
        cause::log(|| tracing::info!("the upstream's answers can be used again"));
    }
}

impl Record {
    /// Answers can be used. Returns whether it was told that they cannot.
    fn clear(&mut self) -> bool {
        self.was_usable = true;
        self.in_a_row.clear();
        self.end()
    }

    fn end(&mut self) -> bool {
        self.standing = None;
        std::mem::take(&mut self.is_told)
    }

    /// Whether the reason is news to the log.
    fn add(&mut self, task: &TaskKey, unusable: &Unusable, now: Instant) -> bool {
        if self.in_a_row.len() < TASKS && !self.in_a_row.contains(task) {
            self.in_a_row.push(task.clone());
        }
        let reason = unusable.reason();
        // A task's first answers may hold no status yet.
        let is_certain = !self.was_usable && reason != Reason::NoStatus;
        let is_standing = is_certain || self.in_a_row.len() >= TASKS;
        let begins = is_standing && self.standing.is_none();
        if is_standing {
            self.standing = Some(unusable.clone());
        }
        // A connection concerns all tasks, so one failure is worth a line. So is a finished task that is too large: the
        // live ones beside it are small, and can be used.
        let is_worth_a_line = is_standing || matches!(reason, Reason::NoAnswer | Reason::TooLarge);
        self.told.retain(|(_, at)| now.saturating_duration_since(*at) < REMINDER);
        let is_known = self.told.iter().any(|(told, _)| told == unusable) && !begins;
        let is_news = is_worth_a_line && !is_known && self.told.len() < MOST_LINES;
        if is_news {
            self.told.push((unusable.clone(), now));
        }
        self.is_told |= is_standing && (is_news || is_known);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::task::{Route, Routes};

    fn key(id: &str) -> TaskKey {
        Routes::new(vec![Route::parse("/{id}").unwrap()]).bare(id).unwrap()
    }

    fn add(record: &mut Record, id: &str, reason: impl Into<Unusable>, at: Instant) -> bool {
        record.add(&key(id), &reason.into(), at)
    }

    #[test]
    fn one_answer_is_a_doubt_until_the_first_that_is_usable() {
        let usability = Usability::default();
        usability.unusable(&key("a"), Reason::UnknownPath.into());
        assert!(usability.trouble().is_some_and(|text| text.contains("upstream.routes")));
        usability.answered();
        assert!(usability.trouble().is_some());
        usability.usable();
        assert_eq!(usability.trouble(), None);
    }

    #[test]
    fn later_it_takes_three_tasks_in_a_row() {
        let usability = Usability::default();
        usability.usable();
        for id in ["a", "b", "a", "b"] {
            usability.unusable(&key(id), Reason::Forbidden.into());
        }
        assert_eq!(usability.trouble(), None);
        usability.usable();
        for id in ["a", "b"] {
            usability.unusable(&key(id), Reason::Forbidden.into());
        }
        assert_eq!(usability.trouble(), None);
        usability.unusable(&key("c"), Reason::WebPage(200).into());
        assert!(usability.trouble().is_some_and(|text| text.contains("web page")));
    }

    #[test]
    fn any_answer_ends_the_doubt_whether_there_are_any() {
        let usability = Usability::default();
        usability.unusable(&key("a"), Unusable::no_answer("refused"));
        assert!(usability.trouble().is_some());
        usability.answered();
        assert_eq!(usability.trouble(), None);
    }

    #[test]
    fn that_no_answer_ever_holds_a_status_is_told_after_three_tasks() {
        let usability = Usability::default();
        for id in ["a", "b", "a"] {
            usability.usable_with(&key(id), false);
        }
        assert_eq!(usability.trouble(), None);
        usability.usable_with(&key("c"), false);
        assert!(usability.trouble().is_some_and(|text| text.contains("status_pointer")));
        usability.usable_with(&key("a"), true);
        for id in ["a", "b", "c"] {
            usability.usable_with(&key(id), false);
        }
        assert_eq!(usability.trouble(), None, "one has had a status: the pointer is right");
    }

    #[test]
    fn a_reason_is_news_once_a_minute_and_a_connection_at_once() {
        let start = Instant::now();
        let refused = || Unusable::no_answer("refused");
        let mut record = Record { was_usable: true, ..Record::default() };
        assert!(add(&mut record, "a", refused(), start));
        assert!(!add(&mut record, "a", refused(), start + Duration::from_secs(59)));
        assert!(add(&mut record, "a", refused(), start + REMINDER));
        assert!(add(&mut record, "a", Unusable::no_answer("bad certificate"), start + REMINDER));
        assert!(!add(&mut record, "b", Reason::Forbidden, start + REMINDER));
        assert!(add(&mut record, "c", Reason::Forbidden, start + REMINDER));
        let mut record = Record { was_usable: true, ..Record::default() };
        assert!(add(&mut record, "a", Reason::TooLarge, start));
    }

    #[test]
    fn ever_new_words_do_not_fill_the_log_and_each_end_has_its_beginning() {
        let start = Instant::now();
        let mut record = Record::default();
        let lines =
            (0..1000).filter(|n| add(&mut record, "a", Unusable::no_answer(&n.to_string()), start)).count();
        assert_eq!(lines, MOST_LINES);
        let mut record = Record::default();
        assert!(add(&mut record, "a", Reason::Forbidden, start));
        assert!(record.clear(), "the end of what was told");
        for (id, is_line) in [("a", false), ("b", false), ("c", true)] {
            assert_eq!(add(&mut record, id, Reason::Forbidden, start), is_line, "a new beginning is told");
        }
        assert!(record.clear());
    }
}
