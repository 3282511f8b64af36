//! Owns the pacing: when a task is looked at again.
//!
//! People care for the time from a task's end until the gateway knows of it. The budget buys looks, and a look is worth
//! most where the end is likely. So the pacer learns how long tasks take, by route and by the model that answers name,
//! and plans the next look where the expected undetected delay reaches the [`price`] of a request: the discrete form of
//! the inspection intervals of Barlow, Hunter and Proschan (1963) and Keller (1974). It only sets the time at which a
//! task is due; the queue, the turns of the clients and the budget stay as they are.
//!
//! [`pacer`] takes each [`look`] and plans the next, by what [`learning`] has made of those before. [`hazard`] counts by
//! [`bins`] of age, [`clocks`] are what the age may be counted from, and [`models`] bounds what is remembered.
//! [`estimate`] is for people, [`figures`] and [`curve`] are for operators, and [`interval`] is the rule without learning.
//! All of it is pure: the time is an argument, and nothing is random but the seed of a hash.

mod bins;
mod clocks;
mod curve;
mod estimate;
mod figures;
mod hazard;
mod interval;
mod learning;
mod look;
mod model_id;
mod models;
mod pacer;
mod price;
#[cfg(test)]
mod tests;

pub use self::clocks::{CLOCK_NAMES, Track};
pub use self::curve::Curve;
pub use self::estimate::{Estimate, Told};
pub use self::figures::RouteFigures;
pub use self::interval::Pacing;
pub use self::look::{Before, Look, Plan};
pub use self::model_id::MOST_NAME;
pub use self::models::MOST_MODELS;
pub use self::pacer::{MEMORY, Pacer};
pub use self::price::Load;
