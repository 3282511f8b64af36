//! Owns the tasks in memory, bounded in number and in bytes of text: beyond a bound the oldest is dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::task::Task;

pub(super) const MAX_TASKS: usize = 10_000;

/// Prompts may be 64 KiB long: without this bound, ten thousand of them would take 640 MiB.
const MAX_TEXT_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    tasks: HashMap<Arc<str>, Task>,
    /// Ids, the oldest in front.
    order: VecDeque<Arc<str>>,
    text_bytes: usize,
}

impl Shelf {
    pub fn put(&mut self, task: Task) {
        self.text_bytes += text_bytes(&task);
        self.order.push_back(task.id.clone());
        self.tasks.insert(task.id.clone(), task);
        while self.order.len() > MAX_TASKS || self.text_bytes > MAX_TEXT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(task) = self.tasks.remove(&oldest) {
                self.text_bytes -= text_bytes(&task);
            }
        }
    }

    pub fn get(&self, id: &str) -> Option<&Task> {
        self.tasks.get(id)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.tasks.get_mut(id)
    }
}

fn text_bytes(task: &Task) -> usize {
    task.prompt.len() + task.model.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Medium, Options, Plan};
    use jiff::Timestamp;
    use tokio::time::Instant;

    fn task(id: usize, prompt: &str) -> Task {
        let plan = Plan { prompt: prompt.to_owned(), ..Plan::default() };
        let options = Options::default();
        Task::start(id.to_string(), Medium::Video, plan, &options, Instant::now(), Timestamp::UNIX_EPOCH)
    }

    fn held(shelf: &Shelf, ids: [usize; 3]) -> [bool; 3] {
        ids.map(|id| shelf.get(&id.to_string()).is_some())
    }

    #[test]
    fn the_oldest_of_too_many_is_dropped() {
        let mut shelf = Shelf::default();
        for id in 0..=MAX_TASKS {
            shelf.put(task(id, ""));
        }
        assert_eq!(held(&shelf, [0, 1, MAX_TASKS]), [false, true, true]);
    }

    #[test]
    fn the_oldest_of_too_long_is_dropped() {
        let mut shelf = Shelf::default();
        let prompt = "x".repeat(MAX_TEXT_BYTES / 3);
        for id in 0..4 {
            shelf.put(task(id, &prompt));
        }
        // The prompts of three tasks would fit exactly; with the names of their models they do not.
        assert_eq!(held(&shelf, [1, 2, 3]), [false, true, true]);
    }
}
