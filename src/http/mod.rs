//! Owns the HTTP interface for clients and operators: paths, rules, answers and headers. The list below
//! follows a request from top to bottom; a file uses only files further down.
//!
//! - [`front`]: the steps of every request on the main listener.
//! - [`admin`]: the handlers for operators. [`tasks`]: the handlers for clients.
//! - [`gateway`]: the parts that all handlers share.
//! - [`guards`]: access rules and limits.
//! - [`respond`]: the wire form of answers and errors.
//! - [`request_log`]: the record of each request, for the log and the counters.
//! - [`headers`], [`head`] and [`list_header`]: names and syntax that all files use.

pub mod admin;
mod front;
mod gateway;
mod guards;
mod head;
mod headers;
mod list_header;
mod request_log;
mod respond;
mod tasks;

pub use self::gateway::Gateway;
pub use self::guards::access::Access;
pub use self::guards::host::Hosts;
pub use self::request_log::RequestCounters;
pub use self::respond::sse;
