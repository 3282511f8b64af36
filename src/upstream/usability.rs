//! Owns whether the upstream's answers can be used: told to operators by `/readyz`, the dashboard and the log, since
//! clients only see a 502.
//!
//! From the start until the first answer that can be used, one answer is enough for a doubt. Later, three tasks in a
//! row are: one task alone may have an odd answer.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::unusable::Unusable;
use crate::core::cause;
use crate::core::task::TaskKey;

/// The number of tasks in a row whose answers cannot be used.
const TASKS: usize = 3;
/// The time between two log lines of the same reason.
const REMINDER: Duration = Duration::from_secs(60);

/// Whether answers can be used, and why not.
#[derive(Debug, Default)]
pub struct Usability(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    /// An answer was usable since the start.
    was_usable: bool,
    /// The tasks, since the last usable answer, whose answers were not.
    in_a_row: Vec<TaskKey>,
    /// Why answers cannot be used, as long as none is.
    standing: Option<Unusable>,
    /// The standing reason was logged.
    is_told: bool,
    /// The reason that was logged last, and its time.
    told: Option<(Unusable, Instant)>,
}

impl Usability {
    /// Why answers cannot be used, with the cure. `None` if they can.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().standing.as_ref().map(Unusable::to_string)
    }

    /// An answer was used.
    pub(super) fn usable(&self) {
        let was_told = {
            let mut record = self.0.lock();
            record.was_usable = true;
            record.in_a_row.clear();
            record.standing = None;
            std::mem::take(&mut record.is_told)
        };
        if was_told {
            cause::log(|| tracing::info!("the upstream's answers can be used again"));
        }
    }

    /// An answer for this task could not be used.
    pub(super) fn unusable(&self, task: &TaskKey, reason: Unusable) {
        let (is_news, reason) = self.0.lock().add(task, reason, Instant::now());
        if is_news {
            cause::log(|| tracing::warn!(%task, "{reason}"));
        } else {
            cause::log(|| tracing::debug!(%task, "{reason}"));
        }
    }
}

impl Record {
    /// Whether the reason is news to the log.
    fn add(&mut self, task: &TaskKey, reason: Unusable, now: Instant) -> (bool, Unusable) {
        if self.in_a_row.len() < TASKS && !self.in_a_row.contains(task) {
            self.in_a_row.push(task.clone());
        }
        let is_standing = !self.was_usable || self.in_a_row.len() >= TASKS;
        if is_standing {
            self.standing = Some(reason.clone());
        }
        // A connection concerns all tasks, so one failure is worth a line. So is a finished task that is too large: the
        // live ones beside it are small, and can be used.
        let is_worth_a_line = is_standing || matches!(reason, Unusable::NoConnection(_) | Unusable::TooLarge);
        let is_known = self.told.as_ref().is_some_and(|(last, at)| *last == reason && now - *at < REMINDER);
        let is_news = is_worth_a_line && !is_known;
        if is_news {
            self.told = Some((reason.clone(), now));
            self.is_told = is_standing;
        }
        (is_news, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::task::{Route, Routes};

    fn key(id: &str) -> TaskKey {
        Routes::new(vec![Route::parse("/{id}").unwrap()]).bare(id).unwrap()
    }

    #[test]
    fn one_answer_is_a_doubt_until_the_first_that_is_usable() {
        let usability = Usability::default();
        usability.unusable(&key("a"), Unusable::UnknownPath);
        assert!(usability.trouble().is_some_and(|text| text.contains("upstream.routes")));
        usability.usable();
        assert_eq!(usability.trouble(), None);
    }

    #[test]
    fn later_it_takes_three_tasks_in_a_row() {
        let usability = Usability::default();
        usability.usable();
        for id in ["a", "b", "a", "b"] {
            usability.unusable(&key(id), Unusable::Forbidden);
        }
        assert_eq!(usability.trouble(), None);
        usability.usable();
        for id in ["a", "b"] {
            usability.unusable(&key(id), Unusable::Forbidden);
        }
        assert_eq!(usability.trouble(), None);
        usability.unusable(&key("c"), Unusable::WebPage(200));
        assert!(usability.trouble().is_some_and(|text| text.contains("web page")));
    }

    #[test]
    fn a_reason_is_news_once_a_minute_and_a_connection_at_once() {
        let start = Instant::now();
        let refused = |text: &str| Unusable::NoConnection(text.to_owned());
        let mut record = Record { was_usable: true, ..Record::default() };
        assert!(record.add(&key("a"), refused("refused"), start).0);
        assert!(!record.add(&key("a"), refused("refused"), start + Duration::from_secs(59)).0);
        assert!(record.add(&key("a"), refused("refused"), start + REMINDER).0);
        assert!(record.add(&key("a"), refused("bad certificate"), start + REMINDER).0);
        assert!(!record.add(&key("b"), Unusable::Forbidden, start).0);
        assert!(record.add(&key("c"), Unusable::Forbidden, start).0);
        let mut record = Record { was_usable: true, ..Record::default() };
        assert!(record.add(&key("a"), Unusable::TooLarge, start).0);
    }
}
