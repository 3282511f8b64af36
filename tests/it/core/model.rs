//! Random histories of the whole core, beside a reference that only knows the promises: what was sent
//! upstream and what was handed out must be allowed by what happened before.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use taskgate::core::budget::Rate;
use taskgate::core::mirror::{Census, Origin};
use taskgate::core::ports::Failure;
use taskgate::core::snapshot::{Phase, Snapshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::house::*;

const IDS: usize = 4;
const CLIENTS: usize = 3;
const PATIENCE: f64 = 2.0;
const TIMEOUT: f64 = 4.0;
const TERMINAL_TTL: f64 = 20.0;
const NOT_FOUND_TTL: f64 = 2.0;
const STALE_FOR: f64 = 10.0;
/// How finely the reference watches time pass.
const TICK: f64 = 0.05;

/// What can happen. Numbers choose among what is there at the moment.
#[derive(Debug, Clone)]
enum Step {
    Ask { client: usize, id: usize },
    Leave { ask: usize },
    Reply { call: usize, reply: Reply },
    Purge { id: usize },
    Pass { ticks: usize },
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    State(Phase),
    Failure(Failure),
    Panic,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..CLIENTS, 0..IDS).prop_map(|(client, id)| Step::Ask { client, id }),
        1 => (0..8_usize).prop_map(|ask| Step::Leave { ask }),
        6 => (0..8_usize, reply()).prop_map(|(call, reply)| Step::Reply { call, reply }),
        1 => (0..IDS).prop_map(|id| Step::Purge { id }),
        3 => prop_oneof![1..10_usize, 20..60_usize, 200..500_usize].prop_map(|ticks| Step::Pass { ticks }),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        6 => Just(Reply::State(Phase::Live)),
        4 => Just(Reply::State(Phase::Terminal)),
        2 => Just(Reply::State(Phase::Missing)),
        2 => prop_oneof![
            Just(Failure::ServerError { status: 503 }),
            Just(Failure::Unreachable),
            Just(Failure::InvalidResponse { status: 302 }),
        ].prop_map(Reply::Failure),
        1 => prop_oneof![
            (1..12_u64).prop_map(|wait| limited(Some(wait))),
            Just(limited(None)),
            Just(Failure::KeyRejected),
        ].prop_map(Reply::Failure),
        1 => Just(Reply::Panic),
    ]
}

/// A state that the upstream sent.
struct Sent {
    id: usize,
    phase: Phase,
    landed: Instant,
    fresh_until: Instant,
    usable_until: Instant,
}

/// A plain GET that waits.
struct Pending {
    id: usize,
    since: Instant,
    asked: Asked,
}

struct Case {
    house: House,
    pending: Vec<Pending>,
    calls: Vec<(usize, Instant, Call)>,
    /// All states, by the number in their bodies.
    states: Vec<Sent>,
    /// What may be handed out for a task without asking: the number of its last state.
    known: BTreeMap<usize, usize>,
    first_seen: BTreeMap<usize, Instant>,
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
        let house = House::with(|setup| {
            setup.policy.patience = seconds(PATIENCE);
            setup.policy.timeout = seconds(TIMEOUT);
            setup.policy.retention.terminal_ttl = seconds(TERMINAL_TTL);
            setup.policy.retention.not_found_ttl = seconds(NOT_FOUND_TTL);
            setup.policy.retention.stale_for = seconds(STALE_FOR);
            setup.policy.max_tasks = IDS - 1;
            setup.rate = rate;
            setup.max_in_flight = 3;
        });
        let now = Instant::now();
        Self {
            house,
            pending: Vec::new(),
            calls: Vec::new(),
            states: Vec::new(),
            known: BTreeMap::new(),
            first_seen: BTreeMap::new(),
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
                let asked = self.house.ask(&format!("c{client}"), &format!("t{id}")).await;
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
                self.first_seen.remove(&id);
                self.failed.remove(&id);
                if self.calls.iter().any(|(flying, ..)| *flying == id) {
                    self.overtaken.insert(id);
                }
                self.house.mirror.purge(&self.house.key(&format!("t{id}")));
                settle().await;
            }
            Step::Pass { ticks } => {
                for tick in 0..ticks {
                    // While nothing can happen, time passes in one go.
                    let is_idle = self.pending.is_empty() && self.house.mirror.census() == Census::default();
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
        let is_kept = !self.overtaken.remove(&id);
        let first_seen = self.first_seen.get(&id).copied().unwrap_or(now);
        let age = (now - first_seen).as_secs_f64();
        let (fresh, stale) = match phase {
            Phase::Live => ((age / 20.0).clamp(2.0, 5.0), STALE_FOR),
            Phase::Terminal => (TERMINAL_TTL, STALE_FOR),
            Phase::Missing => (NOT_FOUND_TTL, 0.0),
        };
        let number = self.states.len();
        let fresh_until = now + seconds(fresh);
        let usable_until = fresh_until + seconds(stale);
        self.states.push(Sent { id, phase, landed: now, fresh_until, usable_until });
        if is_kept {
            let before = self.known.get(&id).map(|number| self.states[*number].phase);
            // Missing: only what is finished can still stand in.
            if phase != Phase::Missing {
                self.known.insert(id, number);
            } else if before == Some(Phase::Live) {
                self.known.remove(&id);
            }
            self.first_seen.insert(id, first_seen);
        }
        let code = if phase == Phase::Missing { 404 } else { 200 };
        Ok(snapshot(code, phase, &number.to_string()))
    }

    fn land_failure(&mut self, id: usize, failure: Failure) {
        let now = Instant::now();
        let hold = match failure {
            Failure::RateLimited { retry_after: Some(named) } => named.as_secs_f64(),
            Failure::RateLimited { retry_after: None } => 1.0,
            Failure::KeyRejected | Failure::QuotaExhausted => 30.0,
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
        let sent = self.house.sent();
        let new = self.house.calls();
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

    fn judge_call(&mut self, at: Instant, call: Call) -> Result<(), TestCaseError> {
        let id = id_of(&call);
        let slack = seconds(TICK);
        prop_assert!(self.calls.iter().all(|(flying, ..)| *flying != id), "t{id} flies twice at once");
        prop_assert!(self.calls.len() < 3, "more than max_in_flight");
        prop_assert!(at >= self.closed_until, "the gate is closed for {:?}", self.closed_until - at);
        let asked = self.pending.iter().any(|pending| pending.id == id);
        let lingers = self.lingers.get(&id).is_some_and(|until| at <= *until + slack);
        prop_assert!(asked || lingers, "nobody is interested in t{id}");
        if let Some(known) = self.known.get(&id) {
            prop_assert!(self.states[*known].fresh_until <= at, "t{id} is fresh");
        }
        // At most burst + rate·t in every window.
        let interval = seconds(60.0 / self.rate.per_minute);
        self.bucket = self.bucket.max(at) + interval;
        prop_assert!(self.bucket - at <= interval * self.rate.burst + seconds(0.001), "over the budget");
        // Nobody who could go is overtaken for ever: IDS keys at most before it in its line, and for
        // each of them a turn of each client.
        self.overtakers.remove(&id);
        let waiting: BTreeSet<usize> = self.pending.iter().map(|pending| pending.id).collect();
        let flying: BTreeSet<usize> = self.calls.iter().map(|(id, ..)| *id).collect();
        let can_go = |id: &usize| self.failed.get(id).is_none_or(|until| *until + seconds(30.0) <= at);
        for other in waiting.difference(&flying).filter(|other| **other != id && can_go(other)) {
            let overtakers = self.overtakers.entry(*other).or_insert(0);
            *overtakers += 1;
            prop_assert!(*overtakers <= IDS * CLIENTS, "t{other} starves");
        }
        self.overtakers.retain(|id, _| waiting.contains(id));
        self.calls.push((id, at, call));
        Ok(())
    }

    fn judge_answer(
        &mut self,
        id: usize,
        asked: Instant,
        now: Instant,
        got: &Got,
    ) -> Result<(), TestCaseError> {
        let slack = seconds(TICK);
        let known = self.known.get(&id).map(|number| (*number, &self.states[*number]));
        let answer = match got {
            Ok(answer) => answer,
            Err(refusal) => {
                if let Some((number, state)) = known {
                    prop_assert!(state.usable_until <= now, "refused though {number} is known: {refusal:?}");
                }
                prop_assert!(refusal.retry_after >= 1);
                self.linger(id, refusal.retry_after as f64 + PATIENCE);
                return Ok(());
            }
        };
        let number: usize = body(got).parse().unwrap();
        let state = &self.states[number];
        prop_assert_eq!(state.id, id, "another task's state");
        if let Some((terminal, finished)) = known.filter(|(_, known)| known.phase == Phase::Terminal)
            && now < finished.fresh_until
        {
            prop_assert!(number == terminal, "{terminal} is finished, and {number} came after it");
        }
        match answer.origin {
            Origin::Hit => prop_assert!(asked < state.fresh_until, "a hit that is not fresh"),
            Origin::Fetched { .. } => prop_assert!(state.landed >= asked, "fetched before it was asked for"),
            Origin::StandIn { .. } => {
                prop_assert!(now < state.usable_until + slack, "past its time as a stand-in");
                prop_assert!(now + slack >= state.fresh_until, "a stand-in though it is fresh");
                prop_assert_eq!(Some(number), known.map(|(number, _)| number), "not the last known state");
                self.linger(id, answer.retry_after.unwrap_or(0) as f64 + PATIENCE);
            }
        }
        Ok(())
    }

    /// Everybody leaves; what is under way ends; and then nothing is left and the core still works.
    async fn clear_up(mut self) -> Result<(), TestCaseError> {
        while !self.pending.is_empty() {
            self.take(Step::Leave { ask: 0 }).await?;
        }
        let mut held = self.house.calls();
        for _ in 0..8 {
            pass(60.0).await;
            held.extend(self.house.calls());
        }
        prop_assert_eq!(self.house.mirror.census(), Census::default(), "something is left over");
        let before = self.house.sent().len();
        pass(600.0).await;
        prop_assert_eq!(self.house.sent().len(), before, "nobody is interested");
        let got = self.house.fetch("late", "new", terminal("done")).await;
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
