//! The core from outside: hand-driven upstream, paused time.

mod bounds;
mod cancelling;
mod coalescing;
mod fairness;
mod flights;
mod gate;
mod learning;
mod missing;
mod model;
mod opening;
mod ownership;
mod plain_get;
mod refused;
mod replicas;
mod shared_memory;
mod terminal;
mod test_core;
mod two_replicas;
mod watching;
