//! Owns what clients and operators see: routes, rules, answers and headers. Read from top to bottom, it is the way of a
//! request; a file names only files that stand further down.
//!
//! - [`front`]: the way of every request on the main listener.
//! - [`admin`]: what operators see. [`tasks`]: what clients read.
//! - [`gateway`]: what all handlers share.
//! - [`guards`]: who may ask, and how much.
//! - [`respond`]: what answers and errors look like.
//! - [`request_log`]: what is noted of each request, for the log and the counters.
//! - [`headers`] and [`head`]: names for everybody.

pub mod admin;
mod front;
mod gateway;
mod guards;
mod head;
mod headers;
mod request_log;
mod respond;
mod tasks;

pub use self::gateway::Gateway;
pub use self::guards::access::Access;
pub use self::guards::host::Hosts;
pub use self::request_log::RequestCounters;
pub use self::respond::sse;
