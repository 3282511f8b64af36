//! Owns the promises: which requests may go upstream, and which answers may be handed out.

use std::collections::BTreeSet;

use proptest::prelude::*;
use taskgate::core::answer::Origin;
use taskgate::core::snapshot::Phase;
use tokio::time::Instant;

use super::{CLIENTS, Case, IDS, PATIENCE, TICK, id_of};
use crate::core::test_core::*;

impl Case {
    pub fn judge_call(&mut self, at: Instant, call: Call) -> Result<(), TestCaseError> {
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

    pub fn judge_answer(
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
            Origin::Hit => prop_assert!(asked < state.stale_from, "a hit that is not fresh"),
            Origin::Fetched { .. } => prop_assert!(state.landed >= asked, "fetched before it was asked for"),
            Origin::StandIn { .. } => {
                prop_assert!(now < state.useless_from + slack, "past its time as a stand-in");
                prop_assert!(now + slack >= state.fresh_until, "a stand-in though it is fresh");
                prop_assert_eq!(Some(number), known.map(|(number, _)| number), "not the last known state");
                self.linger(id, answer.retry_after.unwrap_or(0) as f64 + PATIENCE);
            }
        }
        Ok(())
    }
}
