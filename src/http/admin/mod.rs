//! Owns the admin listener for operators: probes, metrics, the dashboard, the purge, and the API's
//! description.
//!
//! [`mod@router`] is the table of its paths. [`state`] holds the parts that the handlers share. [`auth`] decides
//! which requests may use the dashboard and the purge.

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
pub use self::state::{Admin, Sharing};
