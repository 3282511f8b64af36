//! Owns what is remembered of refused answers: which tasks are suspect, and what the log has been told.

use std::collections::HashSet;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::core::cause;
use crate::core::identity::{Aliases, ForeignIds};
use crate::core::task::{ByKey, TaskKey};

/// Why an answer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// It is another task's.
    AnotherTask,
    /// Its ids are unknown, and the second answer had yet other ones.
    Differing,
    /// Its ids are unknown, and there was no permit for the second request.
    Unconfirmed,
}

/// The refused answers, as far as they matter later.
pub(super) struct Refusals {
    /// Tasks whose last answer was refused, with the ids that a second answer would confirm: none if it is known
    /// to be another task's.
    suspects: Cache<TaskKey, Aliases, ByKey>,
    /// By route; so it is bounded.
    told: Mutex<HashSet<(usize, Fault)>>,
}

impl Refusals {
    /// Remembers as many suspects as there may be tasks.
    pub(super) fn new(max_tasks: usize) -> Self {
        let suspects = Cache::builder()
            .max_capacity(max_tasks as u64)
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(ByKey::default());
        Self { suspects, told: Mutex::default() }
    }

    /// The ids that the last answer of a suspect task has left to confirm; `None` for a task that is not suspect.
    pub(super) fn suspect(&self, key: &TaskKey) -> Option<Aliases> {
        self.suspects.get(key)
    }

    /// From now on the task is suspect: `ids` are to be confirmed.
    pub(super) fn remember(&self, key: &TaskKey, ids: Option<&ForeignIds>) {
        self.suspects.insert(key.clone(), ids.map(Aliases::from).unwrap_or_default());
    }

    /// The task has an answer of its own, or is forgotten.
    pub(super) fn forget(&self, key: &TaskKey) {
        self.suspects.invalidate(key);
    }

    /// Logs a refusal: the first of its kind on a route as a warning, others at level debug.
    pub(super) fn tell(&self, route: &str, task: &TaskKey, fault: Fault) {
        let is_news = self.told.lock().insert((task.route(), fault));
        cause::log(|| {
            if !is_news {
                tracing::debug!(route, %task, ?fault, "an answer was refused: it does not name its task");
                return;
            }
            match fault {
                Fault::AnotherTask => tracing::warn!(
                    route, %task,
                    "an answer of the upstream named another task and was refused: the upstream, or a proxy \
                     before it, sends responses nobody asked for or mixes them up; report it there. If both ids \
                     are names of one task, use the same one in all requests (logged once for each route)"
                ),
                Fault::Differing => tracing::warn!(
                    route, %task,
                    "an answer of the upstream was refused: its `id` and `task_id` differ from the id in the \
                     path and from one answer to the next, so nothing shows whose it is; request tasks by the \
                     id in their answers (logged once for each route)"
                ),
                Fault::Unconfirmed => tracing::warn!(
                    route, %task,
                    "an answer of the upstream was refused for now: it names its task by another id than the \
                     path, and the budget had no request left for a second answer to confirm it; the next \
                     refresh does. Request tasks by the id in their answers to save these requests (logged \
                     once for each route)"
                ),
            }
        });
    }
}
