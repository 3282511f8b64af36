//! Owns what can happen to the core, and how likely it is.

use proptest::prelude::*;
use taskgate::core::failure::Failure;
use taskgate::core::snapshot::Phase;

use super::{CLIENTS, IDS};
use crate::core::test_core::{DOWN, limited};

/// One event of a history. Numbers choose among the things that exist at the moment.
#[derive(Debug, Clone)]
pub enum Step {
    Ask { client: usize, id: usize },
    Leave { ask: usize },
    Reply { call: usize, reply: Reply },
    Purge { id: usize },
    Pass { ticks: usize },
}

#[derive(Debug, Clone, Copy)]
pub enum Reply {
    State(Phase),
    Failure(Failure),
    Panic,
}

pub fn step() -> impl Strategy<Value = Step> {
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
        1 => Just(Reply::State(Phase::Refused)),
        2 => prop_oneof![
            Just(DOWN),
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
