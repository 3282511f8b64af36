//! The core from outside: hand-driven upstream, paused time.

mod bounds;
mod cancelling;
mod coalescing;
mod fairness;
mod flights;
mod gate;
mod house;
mod missing;
mod model;
mod plain_get;
mod terminal;
mod watching;
