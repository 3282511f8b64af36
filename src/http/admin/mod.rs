//! Owns what operators see on the admin listener: probes, metrics, the dashboard, purging, and the API's description.
//!
//! [`router`] is the table of its paths. [`state`] is what the handlers share; [`auth`] says who may see more than the
//! probes.

mod auth;
mod board;
mod dashboard;
mod dashboard_data;
mod health;
mod metrics;
mod openapi;
mod probes;
mod purge;
mod router;
mod sessions;
mod sign_in;
mod state;

pub use self::metrics::Metrics;
pub(super) use self::probes::livez;
pub use self::router::router;
pub use self::state::Admin;
