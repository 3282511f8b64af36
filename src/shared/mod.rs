//! Owns the tier that replicas share on Redis or Valkey: an implementation of [`SharedTier`](crate::core::shared::SharedTier).
//!
//! The decisions are in scripts, each of which Redis runs as one step. [`link`] bounds each call and finds out whether this
//! process is alone; [`hints`] listens to the news; [`record`] is the form of a state, which only a holder of the API key
//! can write.
//!
//! Not shared: a state of more than 1 MiB, which each replica fetches, and a purge or a cancellation while Redis is away,
//! which this process alone learns of. What was learnt of tasks stays in each process.

mod calls;
mod clock;
mod counters;
mod failures;
mod hints;
mod keys;
mod link;
mod listener;
mod record;
mod replies;
mod scripts;
mod subscription;
mod tier;

pub use self::counters::Counters;
pub use self::tier::{AddressError, Options, Pace, RedisTier};
