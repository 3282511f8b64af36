//! Random histories of two cores that share a tier: what was sent upstream and handed out must be allowed by what
//! happened before. While all calls are answered, both are as one; while some are not, each keeps its own promises, and
//! the budget is exceeded by no more than their parts of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use taskgate::core::budget::Rate;
use taskgate::core::failure::Failure;
use taskgate::core::refresh::Census;
use taskgate::core::shared::SharedTier;
use taskgate::core::snapshot::Phase;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::shared_memory::{CALL, Line, Memory, Way};
use super::test_core::*;

const IDS: usize = 3;
const CLIENTS: usize = 2;
const PATIENCE: f64 = 2.0;
const TIMEOUT: f64 = 4.0;
const TERMINAL_TTL: f64 = 20.0;
const TICK: f64 = 0.05;

#[derive(Debug, Clone)]
enum Step {
    Ask { core: usize, client: usize, id: usize },
    Leave { ask: usize },
    Reply { call: usize, reply: Reply },
    Purge { core: usize, id: usize },
    Pass { ticks: usize },
    Becomes { core: usize, line: Line },
    Flush,
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    State(Phase),
    Failure(Failure),
    Panic,
}

fn step(has_trouble: bool) -> impl Strategy<Value = Step> {
    let trouble = u32::from(has_trouble);
    let line = prop_oneof![Just(Line::Good), Just(Line::Bad), Just(Line::Dead)];
    prop_oneof![
        8 => (0..2_usize, 0..CLIENTS, 0..IDS).prop_map(|(core, client, id)| Step::Ask { core, client, id }),
        1 => (0..8_usize).prop_map(|ask| Step::Leave { ask }),
        8 => (0..8_usize, reply()).prop_map(|(call, reply)| Step::Reply { call, reply }),
        1 => (0..2_usize, 0..IDS).prop_map(|(core, id)| Step::Purge { core, id }),
        5 => prop_oneof![1..5_usize, 5..60_usize, 100..200_usize].prop_map(|ticks| Step::Pass { ticks }),
        3 * trouble => (0..2_usize, line).prop_map(|(core, line)| Step::Becomes { core, line }),
        trouble => Just(Step::Flush),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        6 => Just(Reply::State(Phase::Live)),
        4 => Just(Reply::State(Phase::Terminal)),
        1 => Just(Reply::State(Phase::Missing)),
        1 => Just(Reply::Failure(DOWN)),
        1 => (1..8_u64).prop_map(|wait| Reply::Failure(limited(Some(wait)))),
        1 => Just(Reply::Panic),
    ]
}

/// A plain GET that waits.
struct Pending {
    core: usize,
    id: usize,
    since: Instant,
    asked: Asked,
}

/// A state that the upstream sent.
struct Sent {
    id: usize,
    phase: Phase,
    landed: Instant,
    /// Whether a purge has overtaken it: it answers those who waited for it, and is not kept.
    is_kept: bool,
}

struct Case {
    memory: Arc<Memory>,
    ways: [Arc<Way>; 2],
    cores: [TestCore; 2],
    pending: Vec<Pending>,
    calls: Vec<(usize, usize, Instant, Call)>,
    /// By the number in their bodies.
    states: Vec<Sent>,
    /// The end of a task that was handed out by a core.
    ended: BTreeMap<(usize, usize), usize>,
    /// The end of a task that landed, for all cores.
    landed_ends: BTreeMap<usize, Instant>,
    /// When a purge was over: what was allowed before is not kept, and may be sent a little later.
    purged: BTreeMap<usize, Instant>,
    /// When the upstream asked for a pause, and until when, by the core that was told.
    pauses: Vec<(usize, Instant, Instant)>,
    rate: Rate,
    sent: Vec<Instant>,
    has_trouble: bool,
}

fn id_of(call: &Call) -> usize {
    call.key.id()[1..].parse().unwrap()
}

impl Case {
    fn new(rate: Rate, has_trouble: bool) -> Self {
        let memory = Memory::new(rate);
        let ways = [Way::to(&memory), Way::to(&memory)];
        let cores = [0, 1].map(|number: usize| {
            TestCore::with(|setup| {
                setup.policy.patience = seconds(PATIENCE);
                setup.policy.timeout = seconds(TIMEOUT);
                setup.policy.retention.terminal_ttl = seconds(TERMINAL_TTL);
                setup.policy.retention.stale_for = seconds(10.0);
                setup.rate = rate;
                setup.max_in_flight = 3;
                setup.tier = Some(Arc::<Way>::clone(&ways[number]) as Arc<dyn SharedTier>);
            })
        });
        Self {
            memory,
            ways,
            cores,
            pending: Vec::new(),
            calls: Vec::new(),
            states: Vec::new(),
            ended: BTreeMap::new(),
            landed_ends: BTreeMap::new(),
            purged: BTreeMap::new(),
            pauses: Vec::new(),
            rate,
            sent: Vec::new(),
            has_trouble,
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask { core, client, id } => {
                let since = Instant::now();
                let asked = self.cores[core].ask(&format!("c{client}"), &format!("t{id}")).await;
                self.pending.push(Pending { core, id, since, asked });
            }
            Step::Leave { ask } if !self.pending.is_empty() => {
                let gone = self.pending.swap_remove(ask % self.pending.len());
                gone.asked.leave().await;
            }
            Step::Reply { call, reply } if !self.calls.is_empty() => {
                let (core, id, at, call) = self.calls.remove(call % self.calls.len());
                let now = Instant::now();
                match reply {
                    Reply::State(phase) => {
                        let number = self.states.len();
                        let is_kept = self.purged.get(&id).is_none_or(|purged| at > *purged + CALL);
                        self.states.push(Sent { id, phase, landed: now, is_kept });
                        if phase == Phase::Terminal && is_kept {
                            self.landed_ends.insert(id, now);
                        }
                        let code = if phase == Phase::Missing { 404 } else { 200 };
                        call.answer(Ok(snapshot(code, phase, &number.to_string()))).await;
                    }
                    Reply::Failure(failure) => {
                        if let Failure::RateLimited { retry_after: Some(wait) } = failure {
                            self.pauses.push((core, now, now + wait));
                        }
                        call.answer(Err(failure)).await;
                    }
                    Reply::Panic => call.panic().await,
                }
            }
            Step::Leave { .. } | Step::Reply { .. } => {}
            Step::Purge { core, id } => {
                self.ended.retain(|(_, ended), _| *ended != id);
                self.landed_ends.remove(&id);
                let key = self.cores[core].key(&format!("t{id}"));
                self.cores[core].mirror.purge(&key).await;
                self.purged.insert(id, Instant::now());
                self.states.iter_mut().filter(|state| state.id == id).for_each(|state| state.is_kept = false);
                self.ended.retain(|(_, ended), _| *ended != id);
                self.landed_ends.remove(&id);
                settle().await;
            }
            Step::Pass { ticks } => {
                for _ in 0..ticks {
                    sleep(seconds(TICK)).await;
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    self.look_around().await?;
                }
            }
            Step::Becomes { core, line } => self.ways[core].becomes(line),
            Step::Flush => self.memory.flush(),
        }
        self.look_around().await
    }

    async fn look_around(&mut self) -> Result<(), TestCaseError> {
        let now = Instant::now();
        self.calls.retain(|(_, _, at, call)| *at + seconds(TIMEOUT) > now && call.is_wanted());
        for core in 0..2 {
            let sent = self.cores[core].sent();
            let new = self.cores[core].calls();
            for (at, call) in sent[sent.len() - new.len()..].iter().copied().zip(new) {
                self.judge_call(core, at, call)?;
            }
        }
        let (done, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| !pending.asked.is_waiting());
        self.pending = pending;
        for done in done {
            let got = done.asked.got().await;
            self.judge_answer(done.core, done.id, done.since, &got)?;
        }
        let longest = seconds(PATIENCE + TIMEOUT + 2.0 * TICK) + 4 * CALL;
        for pending in &self.pending {
            prop_assert!(now - pending.since <= longest, "it waits too long for t{}", pending.id);
        }
        Ok(())
    }

    fn judge_call(&mut self, core: usize, at: Instant, call: Call) -> Result<(), TestCaseError> {
        let id = id_of(&call);
        let same =
            self.calls.iter().find(|(of, flying, ..)| *flying == id && (*of == core || !self.has_trouble));
        prop_assert!(same.is_none(), "t{id} flies twice at once");
        for (told, from, until) in &self.pauses {
            // What was allowed before the others heard of it may still go.
            let is_bound = *told == core || (!self.has_trouble && at > *from + 2 * CALL);
            prop_assert!(
                !is_bound || at <= *from || at >= *until,
                "the gate is closed for {:?}",
                *until - at
            );
        }
        if let Some(landed) = self.landed_ends.get(&id).filter(|_| !self.has_trouble) {
            prop_assert!(at >= *landed + seconds(TERMINAL_TTL), "t{id} is over, and asked about again");
        }
        self.sent.push(at);
        let parts = if self.has_trouble { 2.0 } else { 1.0 };
        for (number, from) in self.sent.iter().enumerate() {
            let window = (at - *from).as_secs_f64() + if self.has_trouble { 0.2 } else { CALL.as_secs_f64() };
            let most = parts * (f64::from(self.rate.burst) + window * self.rate.per_minute / 60.0) + 1e-3;
            let count = (self.sent.len() - number) as f64;
            prop_assert!(count <= most, "{count} requests within {window} s instead of {most}");
        }
        self.calls.push((core, id, at, call));
        Ok(())
    }

    fn judge_answer(
        &mut self,
        core: usize,
        id: usize,
        since: Instant,
        got: &Got,
    ) -> Result<(), TestCaseError> {
        let Ok(_) = got else { return Ok(()) };
        let number: usize = body(got).parse().unwrap();
        let state = &self.states[number];
        prop_assert_eq!(state.id, id, "another task's state");
        if let Some(end) = self.ended.get(&(core, id)) {
            let is_over = since < self.states[*end].landed + seconds(TERMINAL_TTL);
            prop_assert!(!is_over || state.phase == Phase::Terminal, "{number} came after the end, {end}");
        }
        if state.phase == Phase::Terminal && state.is_kept {
            self.ended.insert((core, id), number);
        }
        Ok(())
    }

    /// Everybody leaves; what is under way ends; and then nothing is left, and both cores still work.
    async fn clear_up(mut self) -> Result<(), TestCaseError> {
        self.ways.iter().for_each(|way| way.becomes(Line::Good));
        while !self.pending.is_empty() {
            self.take(Step::Leave { ask: 0 }).await?;
        }
        let mut held: Vec<Call> = Vec::new();
        for _ in 0..8 {
            pass(60.0).await;
            held.extend(self.cores.iter().flat_map(TestCore::calls));
        }
        for core in &self.cores {
            prop_assert_eq!(core.mirror.overview().census, Census::default(), "something is left over");
        }
        let asked = self.cores[0].ask("late", "new").await;
        pass(1.0).await;
        self.cores[0].call("new").answer(terminal("done")).await;
        pass(0.5).await;
        let got = asked.got().await;
        prop_assert_eq!(body(&got), "done");
        let asked = self.cores[1].ask("late", "new").await;
        pass(0.5).await;
        self.cores[1].no_call();
        let got = asked.got().await;
        prop_assert_eq!(body(&got), "done", "the other knows it");
        Ok(())
    }
}

fn play(rate: Rate, history: Vec<Step>, seed: u64, has_trouble: bool) -> Result<(), TestCaseError> {
    fastrand::seed(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut case = Case::new(rate, has_trouble);
        for step in history {
            case.take(step).await?;
        }
        case.clear_up().await
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_cores_that_share_are_as_one(
        history in proptest::collection::vec(step(false), 1..60),
        seed in any::<u64>(),
    ) {
        play(Rate { per_minute: 120.0, burst: 4 }, history, seed, false)?;
    }

    #[test]
    fn two_cores_that_lose_each_other_keep_their_promises(
        history in proptest::collection::vec(step(true), 1..60),
        seed in any::<u64>(),
    ) {
        play(Rate { per_minute: 120.0, burst: 4 }, history, seed, true)?;
    }
}

/// A flight that waits for another replica's has sent nothing yet when its task is purged.
#[test]
fn a_purge_does_not_outdate_a_request_that_is_sent_after_it() {
    let ask = |core| Step::Ask { core, client: 0, id: 1 };
    let history = vec![
        ask(1),
        ask(0),
        Step::Becomes { core: 0, line: Line::Bad },
        Step::Purge { core: 0, id: 1 },
        Step::Pass { ticks: 22 },
        Step::Reply { call: 1, reply: Reply::State(Phase::Terminal) },
        ask(0),
        Step::Pass { ticks: 159 },
        Step::Reply { call: 0, reply: Reply::State(Phase::Live) },
        ask(0),
    ];
    play(Rate { per_minute: 120.0, burst: 4 }, history, 13_692_122_930_040_236_718, true).unwrap();
}

/// News of a purge come late to a replica that was alone meanwhile, and has fetched the task since.
#[test]
fn late_news_of_a_purge_do_not_end_what_was_fetched_after_it() {
    let history = vec![
        Step::Becomes { core: 0, line: Line::Dead },
        Step::Purge { core: 1, id: 1 },
        Step::Pass { ticks: 10 },
        Step::Ask { core: 0, client: 0, id: 1 },
        Step::Pass { ticks: 40 },
        Step::Reply { call: 0, reply: Reply::State(Phase::Terminal) },
        Step::Becomes { core: 0, line: Line::Good },
        Step::Pass { ticks: 100 },
        Step::Ask { core: 0, client: 0, id: 1 },
        Step::Pass { ticks: 20 },
        Step::Reply { call: 0, reply: Reply::State(Phase::Live) },
        Step::Pass { ticks: 20 },
    ];
    play(Rate { per_minute: 120.0, burst: 4 }, history, 1, true).unwrap();
}

/// A flight that had waited for another replica's was postponed, and started anew at once: those who waited for it waited
/// for both.
#[test]
fn the_time_of_a_flight_that_does_not_take_place_counts() {
    let history = vec![
        Step::Ask { core: 1, client: 0, id: 1 },
        Step::Ask { core: 0, client: 0, id: 2 },
        Step::Pass { ticks: 1 },
        Step::Ask { core: 0, client: 0, id: 1 },
        Step::Pass { ticks: 56 },
        Step::Flush,
        Step::Pass { ticks: 100 },
    ];
    play(Rate { per_minute: 120.0, burst: 4 }, history, 1_770_983_479_899_628_344, true).unwrap();
}
