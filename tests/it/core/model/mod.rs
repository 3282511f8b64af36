//! Random histories of the whole core, beside a reference that only knows the promises: what was sent
//! upstream and what was handed out must be allowed by what happened before.

mod history;
mod judge;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use taskgate::core::budget::Rate;
use taskgate::core::failure::Failure;
use taskgate::core::refresh::Census;
use taskgate::core::snapshot::{Phase, Snapshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use self::history::{Reply, Step, step};
use super::test_core::*;

const IDS: usize = 4;
const CLIENTS: usize = 3;
const PATIENCE: f64 = 2.0;
const TIMEOUT: f64 = 4.0;
const TERMINAL_TTL: f64 = 20.0;
const NOT_FOUND_TTL: f64 = 2.0;
const STALE_FOR: f64 = 10.0;
/// The bounds of the interval of a live task, while the budget is not short; the pacing chooses within them.
const FRESH_FOR: f64 = 2.0;
const MAX_INTERVAL: f64 = 5.0;
/// The most tasks that are wanted at once, each by every client.
const MOST_TASKS: usize = IDS - 1;
/// How finely the reference watches time pass.
const TICK: f64 = 0.05;

/// A state that the upstream sent.
struct Sent {
    id: usize,
    phase: Phase,
    landed: Instant,
    /// Until then the state is fresh for sure …
    fresh_until: Instant,
    /// … and after that it is not.
    stale_from: Instant,
    /// Until then it may stand in for sure …
    usable_until: Instant,
    /// … and after that it may not.
    useless_from: Instant,
}

/// A plain GET that waits.
struct Pending {
    id: usize,
    since: Instant,
    asked: Asked,
}

struct Case {
    core: TestCore,
    pending: Vec<Pending>,
    calls: Vec<(usize, Instant, Call)>,
    /// All states, by the number in their bodies.
    states: Vec<Sent>,
    /// The state that may be handed out for a task without asking: the number of its last state.
    known: BTreeMap<usize, usize>,
    /// Flights that a purge has overtaken.
    overtaken: BTreeSet<usize>,
    /// Until when somebody who left is still interested.
    lingers: BTreeMap<usize, Instant>,
    /// No request may go before then.
    closed_until: Instant,
    rate: Rate,
    /// Of the token bucket at its full rate: when it is full again.
    bucket: Instant,
    /// Requests about other tasks since a task was wanted and could have gone.
    overtakers: BTreeMap<usize, usize>,
    failed: BTreeMap<usize, Instant>,
}

fn id_of(call: &Call) -> usize {
    call.key.id()[1..].parse().unwrap()
}

impl Case {
    fn new(rate: Rate) -> Self {
        let core = TestCore::with(|setup| {
            setup.policy.patience = seconds(PATIENCE);
            setup.policy.timeout = seconds(TIMEOUT);
            setup.policy.retention.terminal_ttl = seconds(TERMINAL_TTL);
            setup.policy.retention.not_found_ttl = seconds(NOT_FOUND_TTL);
            setup.policy.retention.stale_for = seconds(STALE_FOR);
            setup.policy.max_tasks = MOST_TASKS;
            setup.rate = rate;
            setup.max_in_flight = 3;
        });
        let now = Instant::now();
        Self {
            core,
            pending: Vec::new(),
            calls: Vec::new(),
            states: Vec::new(),
            known: BTreeMap::new(),
            overtaken: BTreeSet::new(),
            lingers: BTreeMap::new(),
            closed_until: now,
            rate,
            bucket: now,
            overtakers: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask { client, id } => {
                let since = Instant::now();
                let asked = self.core.ask(&format!("c{client}"), &format!("t{id}")).await;
                self.pending.push(Pending { id, since, asked });
            }
            Step::Leave { ask } if !self.pending.is_empty() => {
                let gone = self.pending.swap_remove(ask % self.pending.len());
                self.linger(gone.id, PATIENCE);
                gone.asked.leave().await;
            }
            Step::Reply { call, reply } if !self.calls.is_empty() => {
                let (id, _, call) = self.calls.remove(call % self.calls.len());
                match reply {
                    Reply::State(phase) => {
                        let snapshot = self.land_state(id, phase)?;
                        call.answer(Ok(snapshot)).await;
                    }
                    Reply::Failure(failure) => {
                        self.land_failure(id, failure);
                        call.answer(Err(failure)).await;
                    }
                    Reply::Panic => {
                        self.land_failure(id, Failure::Unreachable);
                        call.panic().await;
                    }
                }
            }
            Step::Leave { .. } | Step::Reply { .. } => {}
            Step::Purge { id } => {
                self.known.remove(&id);
                self.failed.remove(&id);
                if self.calls.iter().any(|(flying, ..)| *flying == id) {
                    self.overtaken.insert(id);
                }
                self.core.mirror.purge(&self.core.key(&format!("t{id}"))).await;
                settle().await;
            }
            Step::Pass { ticks } => {
                for tick in 0..ticks {
                    // While nothing can happen, time passes in one go.
                    let is_idle =
                        self.pending.is_empty() && self.core.mirror.overview().census == Census::default();
                    let step = if is_idle { ticks - tick } else { 1 };
                    sleep(seconds(TICK * step as f64)).await;
                    // Whatever an alarm has set off has a few steps to run.
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    self.look_around().await?;
                    if is_idle {
                        break;
                    }
                }
            }
        }
        self.look_around().await
    }

    fn linger(&mut self, id: usize, length: f64) {
        let until = Instant::now() + seconds(length);
        let lingers = self.lingers.entry(id).or_insert(until);
        *lingers = until.max(*lingers);
    }

    /// A flight brings a state: what it is worth from now on.
    fn land_state(&mut self, id: usize, phase: Phase) -> Result<Snapshot, TestCaseError> {
        let now = Instant::now();
        self.lingers.remove(&id);
        self.failed.remove(&id);
        if phase == Phase::Refused {
            self.failed.insert(id, now + seconds(1.0));
            let stands_in = self.known.get(&id).is_some_and(|known| now < self.states[*known].usable_until);
            if stands_in {
                self.overtaken.remove(&id);
                return Ok(snapshot(403, phase, "it is not to be handed out"));
            }
        }
        let is_kept = !self.overtaken.remove(&id);
        // No plan is longer than four mean intervals of an equal share.
        let share = self.rate.per_minute / 60.0 / CLIENTS as f64;
        let most = (4.0 * MOST_TASKS as f64 / share).max(MAX_INTERVAL);
        let (fresh, stale, due, stale_for) = match phase {
            Phase::Live => (FRESH_FOR, MAX_INTERVAL, most, STALE_FOR),
            Phase::Terminal => (TERMINAL_TTL, TERMINAL_TTL, TERMINAL_TTL, STALE_FOR),
            Phase::Missing => (NOT_FOUND_TTL, NOT_FOUND_TTL, NOT_FOUND_TTL, 0.0),
            // Until its task is asked about again, at the latest after the longest pause.
            Phase::Refused => (30.0, 30.0, 30.0, 0.0),
        };
        let number = self.states.len();
        let (fresh_until, stale_from) = (now + seconds(fresh), now + seconds(stale));
        let (usable_until, useless_from) = (fresh_until + seconds(stale_for), now + seconds(due + stale_for));
        self.states.push(Sent {
            id,
            phase,
            landed: now,
            fresh_until,
            stale_from,
            usable_until,
            useless_from,
        });
        if is_kept {
            let before = self.known.get(&id).map(|number| self.states[*number].phase);
            // Missing: only what is finished can still stand in.
            if phase.is_known() {
                self.known.insert(id, number);
            } else if phase == Phase::Missing && before == Some(Phase::Live) {
                self.known.remove(&id);
            }
        }
        let code = match phase {
            Phase::Live | Phase::Terminal => 200,
            Phase::Missing => 404,
            Phase::Refused => 403,
        };
        Ok(snapshot(code, phase, &number.to_string()))
    }

    fn land_failure(&mut self, id: usize, failure: Failure) {
        let now = Instant::now();
        let hold = match failure {
            Failure::RateLimited { retry_after: Some(named) } => named.as_secs_f64(),
            Failure::RateLimited { retry_after: None } => 1.0,
            _ => {
                self.lingers.remove(&id);
                self.failed.insert(id, now + seconds(1.0));
                self.overtaken.remove(&id);
                return;
            }
        };
        self.overtaken.remove(&id);
        self.closed_until = self.closed_until.max(now + seconds(hold));
    }

    /// Judges what has happened since the last look: flights given up, requests sent, answers given.
    async fn look_around(&mut self) -> Result<(), TestCaseError> {
        let now = Instant::now();
        let (hung, flying): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.calls).into_iter().partition(|(_, at, _)| *at + seconds(TIMEOUT) <= now);
        self.calls = flying;
        for (id, ..) in &hung {
            self.land_failure(*id, Failure::TimedOut);
        }
        let sent = self.core.sent();
        let new = self.core.calls();
        for (at, call) in sent[sent.len() - new.len()..].iter().zip(new) {
            self.judge_call(*at, call)?;
        }
        let (done, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| !pending.asked.is_waiting());
        self.pending = pending;
        for done in done {
            let waited = now - done.since;
            prop_assert!(waited <= seconds(PATIENCE + TIMEOUT + 2.0 * TICK), "waited {waited:?}");
            let got = done.asked.got().await;
            self.judge_answer(done.id, done.since, now, &got)?;
        }
        for pending in &self.pending {
            prop_assert!(
                now - pending.since <= seconds(PATIENCE + TIMEOUT + 2.0 * TICK),
                "it waits too long"
            );
        }
        Ok(())
    }

    /// Everybody leaves; what is under way ends; and then nothing is left and the core still works.
    async fn clear_up(mut self) -> Result<(), TestCaseError> {
        while !self.pending.is_empty() {
            self.take(Step::Leave { ask: 0 }).await?;
        }
        let mut held = self.core.calls();
        for _ in 0..8 {
            pass(60.0).await;
            held.extend(self.core.calls());
        }
        prop_assert_eq!(self.core.mirror.overview().census, Census::default(), "something is left over");
        let before = self.core.sent().len();
        pass(600.0).await;
        prop_assert_eq!(self.core.sent().len(), before, "nobody is interested");
        let got = self.core.fetch("late", "new", terminal("done")).await;
        prop_assert_eq!(body(&got), "done");
        Ok(())
    }
}

fn play(rate: Rate, history: Vec<Step>, seed: u64) -> Result<(), TestCaseError> {
    fastrand::seed(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut case = Case::new(rate);
        for step in history {
            case.take(step).await?;
        }
        case.clear_up().await
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_promises_on_a_short_budget(
        history in proptest::collection::vec(step(), 1..60),
        seed in any::<u64>(),
    ) {
        play(Rate { per_minute: 30.0, burst: 2 }, history, seed)?;
    }

    #[test]
    fn any_history_keeps_the_promises_on_an_ample_budget(
        history in proptest::collection::vec(step(), 1..60),
        seed in any::<u64>(),
    ) {
        play(Rate { per_minute: 600.0, burst: 10 }, history, seed)?;
    }
}
